/**
 * What a session has set, so that it can follow the session to any server connection and never stays on one.
 *
 * A setting is kept as the SET statement that made it, by the name of the variable. Maps are never changed in place.
 * Time limits are not among them (timeouts.ts).
 */
import { hideTimeouts } from '../shard/timeouts.ts'

export type Settings = ReadonlyMap<string, string>

/** The statements that make a connection with the settings `from` one with the settings `to`. */
export function settingsChange(from: Settings | undefined, to: Settings): string[] {
  if (from === to) return []
  const statements: string[] = []
  if (from === undefined) statements.push('RESET SESSION AUTHORIZATION', 'RESET ALL', hideTimeouts)
  else {
    for (const name of from.keys()) if (!to.has(name)) statements.push(`RESET ${resetName(name)}`)
  }
  for (const [name, statement] of to) if (from?.get(name) !== statement) statements.push(statement)
  return statements
}

function resetName(name: string): string {
  if (name === 'timezone') return 'TIME ZONE'
  if (name === 'session_authorization') return 'SESSION AUTHORIZATION'
  return name
    .split('.')
    .map((part) => `"${part.replaceAll('"', '""')}"`)
    .join('.')
}

export function withSetting(settings: Settings, name: string, statement: string | undefined): Settings {
  const next = new Map(settings)
  next.delete(name)
  if (statement !== undefined) next.set(name, statement)
  return next
}
