/**
 * Which replicas a shard's primary waits for, and which the cluster's database has down as in sync.
 *
 *   waited for: the primary's synchronous_standby_names = 'ANY 1 (...)', so that it acknowledges a commit once one of them has it on disk
 *   in sync:    the record, from which the next primary is taken: the most advanced of all that are in it
 *
 * What must be true at every moment: every acknowledged commit is on one of those in sync, or none is in sync. So whoever is waited for
 * is in sync, or nobody is; a replica is put down before it is waited for, and taken out of the record after the others are known to have
 * what it alone may have had. Before the primary acknowledges without any replica, the record is emptied.
 *
 * This is the decision; keep-synchronous.ts does it.
 */
export type SynchronousMode = 'available' | 'required' | 'off'

export interface SynchronousState {
  readonly mode: SynchronousMode
  /** What the primary waits for now. Undefined when it was set by somebody else, and is theirs. */
  readonly waitedFor: readonly string[] | undefined
  readonly inSync: readonly string[]
  /** All replicas of the shard that are known by name. */
  readonly known: readonly string[]
  /** Those that stream and follow. */
  readonly following: readonly string[]
}

export type SynchronousPlan =
  | { readonly kind: 'nothing' }
  /** Nobody is waited for any more. */
  | { readonly kind: 'stop' }
  /** These are waited for. `record` is what the record must be before that, `isNew` that until now the primary may have acknowledged without any. */
  | { readonly kind: 'wait-for'; readonly replicas: readonly string[]; readonly record: readonly string[]; readonly isNew: boolean }

export function planSynchronous({ mode, waitedFor, inSync, known, following }: SynchronousState): SynchronousPlan {
  if (waitedFor === undefined) return inSync.length === 0 ? { kind: 'nothing' } : { kind: 'stop' }
  const wanted = wantedReplicas(mode, waitedFor, known, following)
  if (wanted.length === 0) return waitedFor.length === 0 && inSync.length === 0 ? { kind: 'nothing' } : { kind: 'stop' }
  if (areSame(wanted, waitedFor) && areSame(wanted, inSync)) return { kind: 'nothing' }
  // Where nobody follows, what is required is waited for and cannot be proved to be in sync.
  if (following.length === 0 && areSame(wanted, waitedFor)) return { kind: 'nothing' }
  const isNew = inSync.length === 0
  return { kind: 'wait-for', replicas: wanted, record: isNew ? [] : union(inSync, wanted), isNew }
}

function wantedReplicas(mode: SynchronousMode, waitedFor: readonly string[], known: readonly string[], following: readonly string[]): readonly string[] {
  if (mode === 'off') return []
  if (following.length > 0 || mode === 'available') return sorted(following)
  return sorted(waitedFor.length > 0 ? waitedFor : known)
}

/** The setting's value. Quoted: names may have any letters. */
export function standbyNames(replicas: readonly string[]): string {
  return replicas.length === 0 ? '' : `ANY 1 (${sorted(replicas).map((name) => `"${name.replaceAll('"', '""')}"`).join(', ')})`
}

/** Undefined for a value that is not of this form, and so was set by somebody else. */
export function readStandbyNames(value: string): string[] | undefined {
  if (value === '') return []
  const list = /^ANY 1 \((.*)\)$/.exec(value)?.[1]
  const names = list?.match(/"(?:[^"]|"")+"/g)?.map((name) => name.slice(1, -1).replaceAll('""', '"'))
  return names !== undefined && standbyNames(names) === value ? names : undefined
}

const sorted = (names: readonly string[]) => names.toSorted()
const union = (some: readonly string[], more: readonly string[]) => sorted([...new Set([...some, ...more])])
const areSame = (some: readonly string[], others: readonly string[]) => String(sorted(some)) === String(sorted(others))
