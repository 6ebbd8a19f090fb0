/** Which replicas follow a primary, from what it says again and again: a replica that is slow, frozen or gone has not got what was written a while ago. */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { LogPosition } from '../coordination/log-position.ts'
import type { PrimaryFacts } from './server-facts.ts'

export class Following {
  private readonly clock: Clock
  private samples: { readonly at: number; readonly position: LogPosition }[] = []
  private readonly lastWell = new Map<string, number>()

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** Who is waited for has some time to come back before it counts as gone. */
  see({ position, followers, waitedFor = [] }: PrimaryFacts): string[] {
    const at = this.clock.ticks()
    // One sample that is old enough is kept.
    const old = this.samples.findLastIndex((sample) => sample.at <= at - limits.replicaLostMsMax)
    this.samples = [...this.samples.slice(Math.max(0, old)), { at, position }]
    const must = this.samples[0]?.position ?? position
    const well = followers.filter(({ isStreaming, flushed }) => isStreaming && flushed !== undefined && flushed >= must).map(({ name }) => name)
    for (const name of well) this.lastWell.set(name, at)
    const late = waitedFor.filter((name) => !well.includes(name) && at - (this.lastWell.get(name) ?? -Infinity) < limits.replicaLostMsMax)
    return [...new Set([...well, ...late])]
  }
}
