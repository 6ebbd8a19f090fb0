/** Settings of the cluster (pgherd.set_cluster_setting) that failover goes by. They are nobody's session's. */
import { SqlError } from '../base/errors.ts'
import type { SynchronousMode } from './synchronous.ts'

const values = {
  /** 'off' for those whose servers are promoted by others: then pgherd changes nothing on them. */
  'pgherd.failover': ['auto', 'off'],
  /** Whether commits wait for replicas: as long as there are any, always, or never. */
  'pgherd.synchronous_replicas': ['available', 'required', 'off'],
} as const

export const guardDefaults: Readonly<Record<keyof typeof values, string>> = { 'pgherd.failover': 'auto', 'pgherd.synchronous_replicas': 'available' }

/** Throws 22023 for a value that the setting cannot have. False for a name that is none of these. */
export function checkGuardSetting(name: string, value: string): boolean {
  if (!Object.hasOwn(values, name)) return false
  const allowed: readonly string[] = values[name as keyof typeof values]
  if (!allowed.includes(value)) throw new SqlError('22023', `invalid value for parameter "${name}": "${value}"`, { hint: `Available values: ${allowed.join(', ')}.` })
  return true
}

export function guardSettings(cluster: Readonly<Record<string, string>>): { isOn: boolean; mode: SynchronousMode } {
  const { 'pgherd.failover': failover, 'pgherd.synchronous_replicas': mode } = { ...guardDefaults, ...cluster }
  return { isOn: failover !== 'off', mode: mode as SynchronousMode }
}
