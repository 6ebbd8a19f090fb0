import type { Snapshot } from './snapshot.ts'

const numbers = new WeakMap<Snapshot, number>()
let last = 0

/** Tells snapshots apart. Who keeps the number does not keep the snapshot, which may be large and is of no use once it is old. */
export function snapshotNumber(snapshot: Snapshot): number {
  const known = numbers.get(snapshot)
  if (known !== undefined) return known
  numbers.set(snapshot, ++last)
  return last
}
