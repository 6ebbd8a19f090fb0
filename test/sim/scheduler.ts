/**
 * Simulated time: a queue of events, and all chance from one seed. Between two events everything that was waiting for the first goes on as far as
 * it can, so a run depends on nothing but its seed.
 */
import type { Random } from '../support/random.ts'
import { seeded } from '../support/random.ts'

interface Event {
  readonly at: number
  readonly number: number
  readonly act: () => void
  isDropped: boolean
}

export class Scheduler {
  readonly random: Random
  /** Milliseconds since the run began, with fractions. */
  now = 0
  events = 0
  /** Called after each event, once nothing can go on without the next. */
  afterEvent: () => void = () => undefined
  private readonly heap: Event[] = []
  private numbers = 0

  constructor(seed: number) {
    this.random = seeded(seed)
  }

  /** A number from `least` to `most`, with fractions; mostly nearer to the least. */
  between(least: number, most: number): number {
    const part = this.random.below(1000) / 1000
    return least + (most - least) * part * part
  }

  /** Returns what takes the event back. */
  after(ms: number, act: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, ms), number: this.numbers++, act, isDropped: false }
    this.push(event)
    return () => (event.isDropped = true)
  }

  /** Runs events up to a time. */
  async runUntil(at: number): Promise<void> {
    await drained()
    for (let event = this.heap[0]; event !== undefined && event.at <= at; event = this.heap[0]) {
      this.pop()
      if (event.isDropped) continue
      this.now = event.at
      this.events++
      event.act()
      await drained()
      this.afterEvent()
    }
    this.now = Math.max(this.now, at)
  }

  private push(event: Event): void {
    const { heap } = this
    let i = heap.push(event) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      if (before(heap[parent] as Event, event)) break
      heap[i] = heap[parent] as Event
      i = parent
    }
    heap[i] = event
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let i = 0
    for (;;) {
      let child = 2 * i + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && before(heap[child + 1] as Event, heap[child] as Event)) child++
      if (before(last, heap[child] as Event)) break
      heap[i] = heap[child] as Event
      i = child
    }
    heap[i] = last
  }
}

const before = (one: Event, other: Event) => one.at < other.at || (one.at === other.at && one.number < other.number)

/**
 * All promises that can go on have gone on: nothing here waits for anything outside of the process, and no chain of them is longer. (Turns of the
 * event loop would do it too, and take most of the time.)
 */
async function drained(): Promise<void> {
  for (let i = 0; i < 40; i++) await undefined
}
