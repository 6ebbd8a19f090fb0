/**
 * Runs the steps of one permutation on one side, and tells what happened, a line an event:
 *
 *   w1: UPDATE 1               the step has ended
 *   w2: waits for s1           it waits for a lock of a session that does nothing now
 *   c1: COMMIT
 *   w2 ends: UPDATE 1          it ended after the step above it
 *
 * A step has *settled* when it has ended or is *stuck*: it waits for a session that runs no step, or for one that is stuck itself.
 * So a wait counts only where nothing but a later step can end it, and no clock decides. The next step goes out when all have
 * settled. A step whose session is stuck is put off until the session is free.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Result } from '../support/wire-client.ts'
import { isOrdered } from '../parity/compare.ts'
import type { SpecSession, Step } from './parse-spec.ts'
import type { Side } from './side.ts'
import type { WaitGraph } from './waits.ts'

const settleMsMax = 25_000
const firstLookMs = 4
const nextLookMs = 8

interface Running {
  readonly step: Step
  readonly ended: Promise<void>
  result: Result | undefined
}

export async function runPermutation(steps: readonly Step[], sessions: readonly SpecSession[], side: Side): Promise<string[]> {
  const run = new Run(side, sessions.map(({ name }) => name))
  for (const { name, setup } of sessions) await side.runIn(name, setup)
  for (const step of steps) await run.next(step)
  await run.finish()
  for (const { name, teardown } of sessions) await side.runIn(name, ['ROLLBACK', ...teardown])
  return run.events
}

class Run {
  readonly events: string[] = []
  private readonly side: Side
  private readonly names: readonly string[]
  private readonly running = new Map<string, Running>()
  private putOff: Step[] = []

  constructor(side: Side, names: readonly string[]) {
    this.side = side
    this.names = names
  }

  async next(step: Step): Promise<void> {
    if (this.running.has(step.session)) {
      this.putOff.push(step)
      return
    }
    await this.start(step)
    for (let free = this.takeFree(); free !== undefined; free = this.takeFree()) await this.start(free)
  }

  /** What is stuck at the end is told so; sessions roll back until it is free. */
  async finish(): Promise<void> {
    for (const { step } of this.running.values()) this.events.push(`${step.name}: does not end`)
    for (const step of this.putOff) this.events.push(`${step.name}: is never run`)
    while (this.running.size > 0) {
      const idle = this.names.filter((name) => !this.running.has(name))
      for (const name of idle) await this.side.query(name, 'ROLLBACK')
      await Promise.race([...this.running.values()].map(({ ended }) => ended))
      for (const [name, { result }] of this.running) if (result !== undefined) this.running.delete(name)
    }
  }

  private takeFree(): Step | undefined {
    const at = this.putOff.findIndex(({ session }) => !this.running.has(session))
    return at < 0 ? undefined : this.putOff.splice(at, 1)[0]
  }

  private async start(step: Step): Promise<void> {
    const one: Running = {
      step,
      result: undefined,
      ended: this.side.query(step.session, step.sql).then((result) => {
        one.result = result
      }),
    }
    this.running.set(step.session, one)
    const stuckOn = await this.settle(one)
    this.events.push(one.result === undefined ? `${step.name}: waits for ${stuckOn}` : `${step.name}: ${outcome(step, one.result)}`)
    for (const name of this.names) {
      const other = this.running.get(name)
      if (other?.result === undefined) continue
      this.running.delete(name)
      if (other !== one) this.events.push(`${other.step.name} ends: ${outcome(other.step, other.result)}`)
    }
  }

  private open(): Running[] {
    return [...this.running.values()].filter(({ result }) => result === undefined)
  }

  /** Waits until every step has ended or is stuck, and gives what the new one is stuck on. */
  private async settle(one: Running): Promise<string> {
    const until = Date.now() + settleMsMax
    for (let pauseMs = firstLookMs; ; pauseMs = nextLookMs) {
      await Promise.race([Promise.all(this.open().map(({ ended }) => ended)), sleep(pauseMs)])
      const asked = this.open()
      if (asked.length === 0) return ''
      const graph = await this.side.waits.graph()
      const left = this.open().map(({ step }) => step.session)
      const stuck = findStuck(graph, new Set(left))
      // Who has ended since the servers were asked was not idle then, so that to wait for it was not to be stuck.
      if (left.length === asked.length && left.every((name) => stuck.has(name))) return [...(stuck.get(one.step.session) ?? [])].sort().join(', ')
      if (Date.now() > until) throw new Error(`${left.join(', ')} neither ended nor was seen to wait:\n${this.events.join('\n')}\n${JSON.stringify([...graph].map(([from, to]) => [from, [...to]]))}`)
    }
  }
}

/** Of each session that is stuck, the idle sessions that it waits for in the end. */
export function findStuck(graph: WaitGraph, running: ReadonlySet<string>): ReadonlyMap<string, ReadonlySet<string>> {
  const stuck = new Map<string, Set<string>>()
  for (let found = true; found; ) {
    found = false
    for (const name of running) {
      const holders = [...(graph.get(name) ?? [])].flatMap((other) => (other === undefined ? [] : running.has(other) ? [...(stuck.get(other) ?? [])] : [other]))
      const before = stuck.get(name)
      if (holders.every((holder) => before?.has(holder) === true)) continue
      stuck.set(name, new Set([...(before ?? []), ...holders]))
      found = true
    }
  }
  return stuck
}

function outcome({ sql }: Step, { error, rows, tags }: Result): string {
  if (error !== undefined) return `error ${error.sqlstate}`
  const lines = rows.map((row) => row.map((value) => value ?? 'NULL').join('|'))
  if (!isOrdered(sql)) lines.sort()
  return [tags.join(', '), ...(rows.length === 0 ? [] : [`(${lines.join(', ')})`])].join(' ')
}
