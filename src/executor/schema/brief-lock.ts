/**
 * Locks of tables on several servers, for a change that is to keep nobody waiting for long: all at once within a short time, or
 * none. Whoever writes meanwhile waits for that time at most, and never for another's transaction.
 */
import { SqlError } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import { settleAll } from '../../base/settle-all.ts'
import type { SchemaChange } from './schema-change.ts'

export interface BriefLock {
  readonly server: number
  /** Quoted and qualified. */
  readonly table: string
  readonly mode: 'SHARE' | 'ACCESS EXCLUSIVE'
}

/** Somebody has the table. The change is to be rolled back and tried again. */
export class LockBusy {
  readonly error: SqlError
  /** lock_timeout of the session; 0 for none. */
  readonly timeoutMs: number
  constructor(error: SqlError, timeoutMs: number) {
    this.error = error
    this.timeoutMs = timeoutMs
  }
}

const lockNotAvailable = '55P03'

export async function lockBriefly(locks: readonly BriefLock[], waitMs: number, change: SchemaChange): Promise<void> {
  const { rows } = await change.onCatalog(`SELECT setting, current_setting('lock_timeout') FROM pg_settings WHERE name = 'lock_timeout'`)
  const [timeoutMs = '0', setting = '0'] = rows[0] ?? []
  const text = ({ table, mode }: BriefLock) => `SET LOCAL lock_timeout = ${waitMs}; LOCK TABLE ${table} IN ${mode} MODE; SET LOCAL lock_timeout = ${quoteLiteral(setting)}`
  try {
    await settleAll(locks.map((lock) => change.onShard(lock.server, text(lock))))
  } catch (error) {
    throw error instanceof SqlError && error.code === lockNotAvailable ? new LockBusy(error, Number(timeoutMs)) : error
  }
}
