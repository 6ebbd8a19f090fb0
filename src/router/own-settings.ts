/**
 * Settings of pgherd's own (pgherd.read_consistency and others): to PostgreSQL they are names it does not know, so the router says which values they
 * may have. What they are now the catalog says, so that SET LOCAL, savepoints, ALTER ROLE ... SET and ALTER DATABASE ... SET count.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { LogPosition } from '../coordination/log-position.ts'
import { readPosition } from '../coordination/log-position.ts'
import type { ReadConsistency } from '../executor/one-moment.ts'

export type ReadFrom = 'primary' | 'replica' | 'replica_if_read_only'

export const consistencies: readonly ReadConsistency[] = ['shard', 'atomic', 'snapshot']
const sources: readonly ReadFrom[] = ['primary', 'replica', 'replica_if_read_only']

export function readConsistency(value: string): ReadConsistency {
  return oneOf('pgherd.read_consistency', value, consistencies)
}

export function readFrom(value: string): ReadFrom {
  return oneOf('pgherd.read_from', value, sources)
}

function oneOf<T extends string>(name: string, value: string, values: readonly T[]): T {
  const found = values.find((one) => one === value.toLowerCase())
  if (found === undefined) throw invalid(name, value, `Available values: ${values.join(', ')}.`)
  return found
}

const invalid = (name: string, value: string, hint: string) => new SqlError('22023', `invalid value for parameter "${name}": "${value}"`, { hint })

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, min: 60_000 }

/** Milliseconds. */
export function readLag(value: string): number {
  const [, number, unit = 'ms'] = /^\s*(\d+)\s*(ms|s|min)?\s*$/.exec(value) ?? []
  const ms = Number(number) * (unitMs[unit] ?? Number.NaN)
  if (ms >= 1 && ms <= limits.replicaSampleKeepMs) return ms
  throw invalid('pgherd.replica_lag_max', value, `Give a time from 1ms to ${limits.replicaSampleKeepMs / 1000}s.`)
}

/** Positions by shard. */
export function readToken(value: string): readonly (readonly [number, LogPosition])[] {
  return value.split(',').filter((part) => part !== '').map((part) => {
    const [, shard, text = ''] = /^(\d+):(.+)$/.exec(part) ?? []
    const position = readPosition(text)
    if (shard === undefined || position === undefined) throw invalid('pgherd.read_token', value, 'SELECT pgherd.read_token() gives one.')
    return [Number(shard), position] as const
  })
}

const readers: Readonly<Record<string, (value: string) => unknown>> = {
  'pgherd.read_consistency': readConsistency,
  'pgherd.read_from': readFrom,
  'pgherd.replica_lag_max': readLag,
  'pgherd.read_token': readToken,
}

/** What a setting is where nobody has said anything; undefined for a name that is none of pgherd's. */
export const ownDefaults: Readonly<Record<string, string>> = {
  'pgherd.read_consistency': 'shard',
  'pgherd.read_from': 'primary',
  'pgherd.replica_lag_max': `${limits.replicaLagMsMax}ms`,
  'pgherd.read_token': '',
}

/** Throws 22023 for a value that one of pgherd's settings cannot have, 42704 for a name in its schema that is no setting. */
export function checkOwnSetting(name: string, value: string): void {
  if (Object.hasOwn(readers, name)) readers[name]?.(value)
}

export type OwnValues = Readonly<Record<string, string>>

const names = Object.keys(ownDefaults)

/** Columns for a SELECT on the catalog; `ownValues` reads them. */
export const ownColumns = names.map((name) => `current_setting('${name}', true)`).join(', ')

/** `defaults` are the cluster's. A value that cannot be (of ALTER ROLE ... SET, say) is the default. */
export function ownValues(columns: readonly (string | undefined)[], defaults: OwnValues): OwnValues {
  return Object.fromEntries(
    names.map((name, i) => {
      const value = columns[i] ?? ''
      return [name, value !== '' && isValid(name, value) ? value : (defaults[name] ?? ownDefaults[name] ?? '')]
    }),
  )
}

function isValid(name: string, value: string): boolean {
  try {
    checkOwnSetting(name, value)
    return true
  } catch {
    return false
  }
}
