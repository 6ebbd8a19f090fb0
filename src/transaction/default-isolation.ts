import type { Settings } from './settings.ts'
import type { BaseModes } from './transaction.ts'

/** Of a transaction that begins without saying it. */
export function defaultIsolation(settings: Settings, base: BaseModes): string {
  const set = /(serializable|repeatable read|read committed|read uncommitted)/i.exec(settings.get('default_transaction_isolation') ?? '')
  return set?.[1]?.toLowerCase() ?? base.isolation
}
