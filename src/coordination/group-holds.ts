/**
 * Table groups that a cut-over is about to lock, as this router has heard of them.
 *
 * A cut-over wants a moment in which no statement has the locks of the group's tables, on two shards. While all shards are busy with
 * statements over many buckets there is none, and waiting in a shard's queue stops those that have another shard's locks already. So
 * movers say when they are about to, and statements that have nothing yet let them go first: those over many buckets, and once a cut-over has found no
 * moment, those for one bucket that keep a lock of its table's parent until they commit, too. It is a courtesy: a hold ends by itself, whatever
 * becomes of the mover, and who does not hear of it is only in its way.
 */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'

interface Hold {
  /** Of statements for one bucket, too. */
  readonly ofAll: boolean
  readonly ended: Promise<void>
  readonly end: () => void
}

export class GroupHolds {
  private readonly clock: Clock
  private readonly holds = new Map<string, Hold>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  get isAny(): boolean {
    return this.holds.size > 0
  }

  hold(database: string, group: number, ofAll: boolean): void {
    const key = keyOf(database, group)
    this.holds.get(key)?.end()
    let resolve = () => undefined as void
    const ended = new Promise<void>((done) => (resolve = done))
    const end = () => {
      stopTimer()
      if (this.holds.get(key) === hold) this.holds.delete(key)
      resolve()
    }
    const hold: Hold = { ofAll, ended, end }
    const stopTimer = this.clock.after(limits.cutoverMsMax, end)
    this.holds.set(key, hold)
  }

  free(database: string, group: number): void {
    this.holds.get(keyOf(database, group))?.end()
  }

  /** Until the holds of these groups are over, for a statement over whole tables of `groups` and single buckets of `ofBuckets`; undefined when there is none. */
  passing(database: string, groups: Iterable<number>, ofBuckets: Iterable<number>): Promise<unknown> | undefined {
    const holdOf = (group: number) => this.holds.get(keyOf(database, group))
    const held = [...[...groups].map(holdOf), ...[...ofBuckets].map(holdOf).filter((hold) => hold?.ofAll)].flatMap((hold) => hold?.ended ?? [])
    return held.length === 0 ? undefined : Promise.all(held)
  }

  close(): void {
    for (const hold of this.holds.values()) hold.end()
  }
}

const keyOf = (database: string, group: number) => `${group} ${database}`

/** What movers say on the channel of schema changes: 'hold' is about statements over whole tables, 'hold-all' about those for single buckets, too. */
export type HoldNews = { readonly kind: 'hold' | 'hold-all' | 'free'; readonly group: number }

export const holdText = ({ kind, group }: HoldNews) => `${kind} ${group}`

/** Undefined for other news: the schema is another. */
export function holdNews(payload: string | undefined): HoldNews | undefined {
  const [, kind, group] = /^(hold|hold-all|free) (\d+)$/.exec(payload ?? '') ?? []
  return kind === undefined ? undefined : { kind: kind as HoldNews['kind'], group: Number(group) }
}
