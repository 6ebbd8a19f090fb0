/**
 * Leases in Redis: a key for each name, whose value is the token and which Redis lets expire.
 *
 * A command is sent on a connection that stands or fails at once: one that waits in a queue for Redis to come back would take a lock
 * for somebody who has long gone. Reconnecting is ioredis's. A Redis that was restarted without its data has no leases:
 * their holders learn it from the next renewal, and their fences (fences.ts) stop who has not learnt it yet.
 */
import { Redis } from 'ioredis'
import { limits } from '../base/limits.ts'
import type { Logger } from '../observability/logger.ts'
import type { LeaseStore } from './locks.ts'

const ifMine = (command: string) => `if redis.call('get', KEYS[1]) == ARGV[1] then return ${command} else return 0 end`
const extendScript = ifMine(`redis.call('pexpire', KEYS[1], ARGV[2])`)
const dropScript = ifMine(`redis.call('del', KEYS[1])`)

export class RedisLeaseStore implements LeaseStore {
  private readonly redis: Redis
  private readonly prefix: string

  /** Clusters may share a Redis. */
  private constructor(redis: Redis, clusterId: string) {
    this.redis = redis
    this.prefix = `pgherd:{${clusterId}}:lock:`
  }

  /** Does not fail when Redis is away: it is looked for until it is there. Waits for the first answer, whichever it is. */
  static async open(url: string, clusterId: string, log: Logger): Promise<RedisLeaseStore> {
    const redis = new Redis(url, {
      lazyConnect: true,
      enableOfflineQueue: false,
      autoResendUnfulfilledCommands: false,
      maxRetriesPerRequest: 0,
      connectTimeout: limits.redisAnswerMsMax,
      commandTimeout: limits.redisAnswerMsMax,
      // A connection that is dead without having been closed is given up, and made again.
      socketTimeout: 2 * limits.redisAnswerMsMax,
      retryStrategy: () => limits.redisRetryMs,
      // The primary was demoted: the address may lead to another one by now.
      reconnectOnError: (error) => error.message.startsWith('READONLY'),
    })
    let isThere: boolean | undefined
    redis.on('ready', () => {
      if (isThere === false) log.info('Redis answers again')
      isThere = true
    })
    const away = (reason: string) => {
      if (isThere !== false) log.warn(`Redis cannot be reached, locks wait for it: ${reason}`)
      isThere = false
    }
    redis.on('error', (error: Error) => away(error.message))
    redis.on('reconnecting', () => away('the connection was lost'))
    await redis.connect().catch(() => undefined) // the listener has said it
    return new RedisLeaseStore(redis, clusterId)
  }

  async take(name: string, token: string, ms: number): Promise<boolean> {
    return (await this.redis.set(this.prefix + name, token, 'PX', ms, 'NX')) === 'OK'
  }

  async extend(name: string, token: string, ms: number): Promise<boolean> {
    return (await this.redis.eval(extendScript, 1, this.prefix + name, token, ms)) === 1
  }

  async drop(name: string, token: string): Promise<void> {
    await this.redis.eval(dropScript, 1, this.prefix + name, token)
  }

  close(): Promise<void> {
    this.redis.disconnect()
    return Promise.resolve()
  }
}
