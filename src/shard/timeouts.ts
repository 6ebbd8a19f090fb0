/**
 * The time limits that are about a session, not about one server's part of it: the router keeps them (router/session-timers.ts).
 *
 * On server connections they are off: a server whose part waits while the session works elsewhere would take it for idle, and
 * one request is not the whole statement. A statement that looks at settings is shown them for its own time.
 */
import { quoteLiteral } from '../base/quote.ts'

export const timeoutNames = ['statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout'] as const

export type TimeoutName = (typeof timeoutNames)[number]

export interface Timeout {
  readonly ms: number
  /** As SHOW gives it. */
  readonly text: string
}

/** Only those that are on. Never changed in place. */
export type Timeouts = ReadonlyMap<TimeoutName, Timeout>

export const noTimeouts: Timeouts = new Map()

export function isTimeout(name: string): name is TimeoutName {
  return (timeoutNames as readonly string[]).includes(name)
}

export function withTimeout(timeouts: Timeouts, name: TimeoutName, timeout: Timeout | undefined): Timeouts {
  const next = new Map(timeouts)
  if (timeout === undefined || timeout.ms === 0) next.delete(name)
  else next.set(name, timeout)
  return next
}

export const timeoutList = timeoutNames.map(quoteLiteral).join(', ')

/** Turns them off on a connection, whatever the role or the server has by default. Servers before 17 do not know all. */
export const hideTimeouts = `SELECT pg_catalog.set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN (${timeoutList}) AND setting <> '0'`

const readsSettings = /\bshow|settings?\b/i

/** What a text that may look at settings needs in front, in its transaction, to see the session's; undefined for other texts. */
export function timeoutsShown(text: string, timeouts: Timeouts): string | undefined {
  if (timeouts.size === 0 || !readsSettings.test(text)) return undefined
  return setAll([...timeouts].map(([name, { text: value }]) => [name, value]))
}

/** What a transaction that goes on needs behind such a text. */
export function timeoutsHidden(names: Iterable<TimeoutName>): string {
  return setAll([...names].map((name) => [name, '0']))
}

const setAll = (values: readonly (readonly [TimeoutName, string])[]) =>
  `SELECT ${values.map(([name, value]) => `pg_catalog.set_config('${name}', ${quoteLiteral(value)}, true)`).join(', ')}`
