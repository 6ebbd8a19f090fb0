import { randomBytes } from 'node:crypto'

/** Real time and chance. Everything that needs either takes a Clock, so that a simulator can own them. */
export interface Clock {
  /** Milliseconds since the epoch. */
  now(): number
  sleep(ms: number): Promise<void>
  /** `bytes` bytes nobody can guess, in hexadecimal. */
  randomHex(bytes: number): string
  /** An integer in [0, below). */
  randomInt(below: number): number
  /** Calls `fn` every `ms` milliseconds until the returned function is called. */
  every(ms: number, fn: () => void): () => void
  after(ms: number, fn: () => void): () => void
}

export const realClock: Clock = {
  now: () => Date.now(),
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
