/**
 * Frees the memory that large messages have left.
 *
 * A text of 50 MB becomes several strings and buffers, dead as soon as it has been answered. V8 collects when more is
 * allocated; a router with little to do would keep hundreds of megabytes for that.
 */
import v8 from 'node:v8'
import vm from 'node:vm'
import type { Clock } from './clock.ts'
import { limits } from './limits.ts'

export class Garbage {
  private readonly clock: Clock
  private collect: (() => void) | undefined
  private isPlanned = false

  constructor(clock: Clock) {
    this.clock = clock
  }

  /** A message of so many bytes has been answered. */
  left(bytes: number): void {
    if (bytes < limits.garbageBytesMin || this.isPlanned) return
    this.isPlanned = true
    this.clock.after(limits.garbageMsMax, () => {
      this.isPlanned = false
      this.collect ??= exposed()
      this.collect()
    })
  }
}

/** V8's collector, which Node gives to who asks for it by a flag: at any time, for contexts made from then on. */
function exposed(): () => void {
  v8.setFlagsFromString('--expose-gc')
  return vm.runInNewContext('gc') as () => void
}
