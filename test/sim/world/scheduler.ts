/**
 * Simulated time: one queue of events in the order of their times, and of their making where times are equal. What an event
 * makes run by promises runs to its end before the next event.
 */
export interface Timer {
  cancel(): void
}

class Entry implements Timer {
  readonly time: number
  readonly serial: number
  run: (() => void) | undefined

  constructor(time: number, serial: number, run: () => void) {
    this.time = time
    this.serial = serial
    this.run = run
  }

  cancel(): void {
    this.run = undefined
  }
}

const isBefore = (a: Entry, b: Entry) => a.time < b.time || (a.time === b.time && a.serial < b.serial)

export class Scheduler {
  now = 0
  /** Events that have run. */
  ran = 0
  private made = 0
  private readonly heap: Entry[] = []

  after(ms: number, run: () => void): Timer {
    const entry = new Entry(this.now + ms, this.made++, run)
    this.push(entry)
    return entry
  }

  /** Runs the next event and all that follows from it at once. False when there is none before that time. */
  async step(until: number): Promise<boolean> {
    for (let first = this.heap[0]; first !== undefined && first.time <= until; first = this.heap[0]) {
      this.pop()
      if (first.run === undefined) continue
      this.now = first.time
      this.ran++
      first.run()
      await drained()
      return true
    }
    return false
  }

  private push(entry: Entry): void {
    const { heap } = this
    let at = heap.length
    while (at > 0) {
      const parent = (at - 1) >> 1
      const above = heap[parent] as Entry
      if (!isBefore(entry, above)) break
      heap[at] = above
      at = parent
    }
    heap[at] = entry
  }

  private pop(): void {
    const { heap } = this
    const last = heap.pop() as Entry
    if (heap.length === 0) return
    let at = 0
    for (;;) {
      let child = 2 * at + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Entry, heap[child] as Entry)) child++
      if (!isBefore(heap[child] as Entry, last)) break
      heap[at] = heap[child] as Entry
      at = child
    }
    heap[at] = last
  }
}

/** All promises have told whom they tell: setImmediate comes after them. */
const drained = () => new Promise<void>((resolve) => setImmediate(resolve))
