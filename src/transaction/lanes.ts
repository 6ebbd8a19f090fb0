/**
 * Lanes: server connections that many sessions share for point reads outside of transactions.
 *
 * A connection is a queue of exchanges, so the requests of several clients can be under way on one at once: they go out in one
 * write, wake the server once, and their answers come back in order. The price is that each waits for those before it.
 * Hence only statements that end at once may use a lane, a lane that has not answered for a while gets no more of them, those
 * that wait on it then leave it, and who finds no lane takes a connection of its own. All sessions of a lane have the same role, database and settings.
 */
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import type { Logger } from '../observability/logger.ts'
import type { Connection } from '../shard/connection.ts'
import type { Pool } from '../shard/pool.ts'
import { query } from '../shard/query.ts'
import type { Settings } from './settings.ts'
import { settingsChange } from './settings.ts'

export class LaneGroup {
  readonly server: ServerAddress
  readonly database: string
  private readonly user: string
  private readonly settings: Settings
  private readonly lanes: Lanes
  private connections: Connection[] = []
  private opening = 0
  /** As it was when the lanes were last looked at. */
  private readonly progress = new WeakMap<Connection, number>()
  isClosed = false

  constructor(lanes: Lanes, server: ServerAddress, database: string, user: string, settings: Settings) {
    this.lanes = lanes
    this.server = server
    this.database = database
    this.user = user
    this.settings = settings
  }

  /** Open connections, and those about to be. */
  get size(): number {
    return this.connections.length + this.opening
  }

  get isOpening(): boolean {
    return this.opening > 0
  }

  get isIdle(): boolean {
    return this.opening === 0 && this.connections.every((connection) => connection.pendingExchanges === 0)
  }

  /** The connection with the least to do; undefined when none should take more. */
  take(): Connection | undefined {
    let best: Connection | undefined
    for (const connection of this.connections) {
      if (connection.isLost || connection.cancelling !== undefined) continue
      if (best === undefined || connection.pendingExchanges < best.pendingExchanges) best = connection
    }
    if (best === undefined || best.pendingExchanges >= limits.laneDepthWanted) this.lanes.grow(this)
    if (best === undefined || best.pendingExchanges === 0) return best
    if (best.pendingExchanges >= limits.laneDepthMax) return undefined
    if (this.lanes.ticks() - best.progressAt > limits.laneStallMsMax) return undefined
    this.lanes.watch()
    return best
  }

  /** Who waits behind a statement that turns out to take long (for a lock, say) goes on without it. True if others wait still. */
  freeWaiting(): boolean {
    let waiting = false
    for (const connection of this.connections) {
      if (connection.isLost || connection.pendingExchanges < 2) continue
      // Seen twice without progress: a router that was busy itself has read the answers in between.
      if (this.progress.get(connection) === connection.progressAt) connection.letWaitingLeave()
      else waiting = true
      this.progress.set(connection, connection.progressAt)
    }
    return waiting
  }

  async open(pool: Pool): Promise<void> {
    this.opening++
    try {
      const connection = await pool.take(this.server, this.database, this.user)
      const change = settingsChange(connection.settings, this.settings)
      connection.settings = undefined
      if (change.length > 0) await query(connection, change.join('; '))
      connection.settings = this.settings
      this.connections = this.connections.filter((one) => !one.isLost)
      if (this.isClosed) pool.release(connection)
      else this.connections.push(connection)
    } finally {
      this.opening--
    }
  }

  /** What still runs on a connection ends; then the pool has it. */
  close(pool: Pool): void {
    this.isClosed = true
    for (const connection of this.connections.splice(0)) pool.release(connection)
  }
}

export class Lanes {
  private readonly pool: Pool
  private readonly clock: Clock
  private readonly log: Logger
  /** Least recently asked for first. */
  private readonly groups = new Map<string, LaneGroup>()
  private readonly keys = new WeakMap<Settings, string>()
  private stopWatch: (() => void) | undefined

  constructor(pool: Pool, clock: Clock, log: Logger) {
    this.pool = pool
    this.clock = clock
    this.log = log
  }

  ticks(): number {
    return this.clock.ticks()
  }

  /** Looks after those that wait on a lane, as long as some do. */
  watch(): void {
    this.stopWatch ??= this.clock.after(limits.laneWaitMsMax, () => {
      this.stopWatch = undefined
      let waiting = false
      for (const group of this.groups.values()) waiting = group.freeWaiting() || waiting
      if (waiting) this.watch()
    })
  }

  group(server: ServerAddress, database: string, user: string, settings: Settings): LaneGroup {
    const key = `${server.id}\0${database}\0${user}\0${this.settingsKey(settings)}`
    const known = this.groups.get(key)
    this.groups.delete(key)
    const group = known ?? new LaneGroup(this, server, database, user, settings)
    this.groups.set(key, group)
    return group
  }

  /** Opens one more connection for a group, if there is room, or another group of the server has no use for its own. */
  grow(group: LaneGroup): void {
    if (group.isClosed || group.isOpening || group.size >= limits.lanesPerGroupMax) return
    if (!this.makeRoom(group.server)) return
    group.open(this.pool).catch((error: Error) => this.log.debug(`no shared connection to ${group.server.name}: ${error.message}`))
  }

  private makeRoom(server: ServerAddress): boolean {
    const own = [...this.groups].filter(([, group]) => group.server.id === server.id)
    if (own.reduce((sum, [, group]) => sum + group.size, 0) < limits.lanesPerServerMax) return true
    const idle = own.find(([, group]) => group.size > 0 && group.isIdle)
    if (idle === undefined) return false
    idle[1].close(this.pool)
    this.groups.delete(idle[0])
    return true
  }

  /** So that a database can be dropped; its sessions are gone. */
  closeDatabase(database: string): void {
    for (const [key, group] of this.groups) {
      if (group.database !== database) continue
      group.close(this.pool)
      this.groups.delete(key)
    }
  }

  close(): void {
    this.stopWatch?.()
    for (const group of this.groups.values()) group.close(this.pool)
    this.groups.clear()
  }

  private settingsKey(settings: Settings): string {
    const known = this.keys.get(settings)
    if (known !== undefined) return known
    const key = [...settings].sort(([a], [b]) => (a < b ? -1 : 1)).join('\0')
    this.keys.set(settings, key)
    return key
  }
}
