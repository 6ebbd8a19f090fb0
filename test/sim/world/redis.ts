/** A stand-in for Redis: names that expire, on its own clock, all in memory. */
import { limits } from '../../../src/base/limits.ts'
import type { LeaseStore } from '../../../src/coordination/locks.ts'
import { ask } from './ask.ts'
import type { Endpoint, Network } from './network.ts'
import type { Process } from './process.ts'

interface Entry {
  readonly token: string
  readonly untilMs: number
}

export class SimulatedRedis {
  readonly process: Process
  isUp = true
  private entries = new Map<string, Entry>()
  /** What its replica has. */
  private copied = new Map<string, Entry>()

  constructor(process: Process) {
    this.process = process
  }

  tokenOf(name: string): string | undefined {
    const entry = this.entries.get(name)
    return entry !== undefined && this.process.clock.now() < entry.untilMs ? entry.token : undefined
  }

  set(name: string, token: string, ms: number): void {
    this.entries.set(name, { token, untilMs: this.process.clock.now() + ms })
  }

  drop(name: string): void {
    this.entries.delete(name)
  }

  wipe(): void {
    this.entries.clear()
  }

  /** The replica is as the primary is now, and stays so until the next copy. */
  copy(): void {
    this.copied = new Map(this.entries)
  }

  /** The replica takes over: what was written since the copy is lost. */
  failOver(): void {
    this.entries = new Map(this.copied)
  }
}

const nothing: Endpoint = { isGone: false, close: () => undefined }

export class SimulatedLeaseStore implements LeaseStore {
  private readonly network: Network
  private readonly client: Process
  private readonly redis: SimulatedRedis
  /** When the store said yes the last time, the answer being counted from its question. */
  onExtended: (token: string, askedAtMs: number) => void = () => undefined

  constructor(network: Network, client: Process, redis: SimulatedRedis) {
    this.network = network
    this.client = client
    this.redis = redis
  }

  async take(name: string, token: string, ms: number): Promise<boolean> {
    return this.timed(token, () =>
      this.ask(`take ${name}`, (redis) => {
        const isFree = redis.tokenOf(name) === undefined
        if (isFree) redis.set(name, token, ms)
        return isFree
      }),
    )
  }

  async extend(name: string, token: string, ms: number): Promise<boolean> {
    return this.timed(token, () =>
      this.ask(`extend ${name}`, (redis) => {
        const isMine = redis.tokenOf(name) === token
        if (isMine) redis.set(name, token, ms)
        return isMine
      }),
    )
  }

  async drop(name: string, token: string): Promise<void> {
    await this.ask(`drop ${name}`, (redis) => {
      if (redis.tokenOf(name) === token) redis.drop(name)
    })
  }

  close(): Promise<void> {
    return Promise.resolve()
  }

  private async timed(token: string, call: () => Promise<boolean>): Promise<boolean> {
    const askedAt = this.network.time
    const isMine = await call()
    if (isMine) this.onExtended(token, askedAt)
    return isMine
  }

  private ask<T>(label: string, work: (redis: SimulatedRedis) => T): Promise<T> {
    return ask({ network: this.network, client: this.client, peer: this.redis, label, limitMs: limits.redisAnswerMsMax }, () => nothing, () => Promise.resolve(work(this.redis)))
  }
}
