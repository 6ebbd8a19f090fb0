import { randomBytes } from 'node:crypto'

/** Real time and chance. Everything that needs either takes a Clock, so that a simulator can own them. */
export interface Clock {
  /** Milliseconds since the epoch, as people see them: it may be put back or forward at any moment. */
  now(): number
  /** Milliseconds since some moment, to measure with: never put back. */
  ticks(): number
  sleep(ms: number): Promise<void>
  /** `bytes` bytes nobody can guess, in hexadecimal. */
  randomHex(bytes: number): string
  /** An integer in [0, below). */
  randomInt(below: number): number
  /** Calls `fn` every `ms` milliseconds until the returned function is called. */
  every(ms: number, fn: () => void): () => void
  after(ms: number, fn: () => void): () => void
}

/**
 * Whole milliseconds that count on whatever is done to the wall clock. The system's steady clock stands still while the machine is suspended; then
 * the wall clock has gone ahead of it, and that counts too. So a time is never taken for shorter than it was, but for one that a suspended
 * machine woke from with its wall clock put back: what a lease protects is fenced for that.
 */
export function countOn(wall: () => number, steady: () => number): () => number {
  let difference = wall() - steady()
  let suspendedMs = 0
  return () => {
    const now = steady()
    const ahead = wall() - now - difference
    if (Math.abs(ahead) > driftMsMax) {
      difference += ahead
      suspendedMs += Math.max(0, ahead)
    }
    return Math.floor(now + suspendedMs)
  }
}

/** Less than this is a clock that runs a little faster than the other. */
const driftMsMax = 100

export const realClock: Clock = {
  now: () => Date.now(),
  ticks: countOn(Date.now, () => performance.now()),
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  randomHex: (bytes) => randomBytes(bytes).toString('hex'),
  randomInt: (below) => Math.floor(Math.random() * below),
  every(ms, fn) {
    const timer = setInterval(fn, ms)
    timer.unref()
    return () => clearInterval(timer)
  },
  after(ms, fn) {
    const timer = setTimeout(fn, ms)
    return () => clearTimeout(timer)
  },
}
