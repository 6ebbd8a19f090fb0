/**
 * Idle connections to all servers, by server, database and role; and a queue of those who wait for one.
 *
 * A connection is lent to one holder at a time and comes back idle (ReadyForQuery 'I'), or is closed.
 */
import { SqlError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { Connection } from './connection.ts'
import { enterServer } from './enter-server.ts'
import { txIdle } from './exchange.ts'

interface Waiter {
  give(connection: Connection): void
  readonly fail: (error: SqlError) => void
}

interface Slot {
  readonly idle: Connection[]
  readonly waiting: Set<Waiter>
  open: number
}

/** What ends the waiting of those who are told so. */
export type Waits = Set<(error: SqlError) => void>

/** The server could not be entered, or was not the one that was wanted: nothing has been asked of it. */
const isAway = ({ code }: SqlError) => code.startsWith('08') || code.startsWith('57P')

export class Pool {
  private readonly slots = new Map<string, Slot>()
  private readonly slotOf = new WeakMap<Connection, string>()
  private readonly toReplicas = new Set<Connection>()
  private readonly clock: Clock
  private readonly credentials: Credentials
  private closed = false
  private readonly stopTimer: () => void

  constructor(clock: Clock, credentials: Credentials) {
    this.clock = clock
    this.credentials = credentials
    this.stopTimer = clock.every(limits.poolSweepEveryMs, () => this.closeUnused())
  }

  /** An idle connection if there is one at once: the hot path does without a promise. */
  tryTake(server: ServerAddress, database: string, user: string): Connection | undefined {
    const slot = this.slots.get(keyOf(server, database, user))
    return slot?.idle.pop()
  }

  /**
   * `waits` holds, while this waits for a connection that others have, or for a primary, what ends it. Throws 53300 when none becomes free in time, or the server's
   * own error when it cannot be entered: at once where no other server could take its place, else when none has in time.
   */
  async take(server: ServerAddress, database: string, user: string, waits?: Waits): Promise<Connection> {
    const until = this.clock.ticks() + limits.failoverWaitMsMax
    for (;;) {
      try {
        return await this.takeNow(server, database, user, waits)
      } catch (error) {
        if (!isAway(error as SqlError) || this.clock.ticks() > until || this.credentials.primaries?.seek(server) !== true) throw error
      }
      await this.pause(limits.failoverRetryMs, waits)
    }
  }

  private async takeNow(server: ServerAddress, database: string, user: string, waits?: Waits): Promise<Connection> {
    if (this.closed) throw new SqlError('57P01', 'the router is shutting down')
    const key = keyOf(server, database, user)
    const slot = this.slots.get(key) ?? { idle: [], waiting: new Set(), open: 0 }
    this.slots.set(key, slot)
    const idle = slot.idle.pop()
    if (idle !== undefined) return idle
    if (slot.open >= limits.poolConnectionsMax) return this.wait(slot, server, waits)
    slot.open++
    try {
      return await this.connect(key, slot, server, database, user)
    } catch (error) {
      slot.open--
      this.failWaiters(slot, error as SqlError)
      throw error
    }
  }

  /** Gives a connection back. One that is not idle is of no use to anybody else: it is closed. */
  release(connection: Connection): void {
    const slot = this.slots.get(this.slotOf.get(connection) ?? '')
    if (slot === undefined || connection.isLost) return
    if (connection.cancelling !== undefined) {
      void connection.cancelling.then(() => this.release(connection))
      return
    }
    if (this.closed || connection.txStatus !== txIdle || connection.pendingExchanges > 0) {
      connection.close()
      return
    }
    const [waiter] = slot.waiting
    if (waiter !== undefined) waiter.give(connection)
    else slot.idle.push(connection)
  }

  /** Closes the idle connections to one database, so that it can be dropped. */
  async closeDatabase(database: string): Promise<void> {
    for (const [key, slot] of this.slots) {
      if (key.split('\0')[1] !== database) continue
      for (const connection of slot.idle.splice(0)) connection.close()
    }
  }

  /** Ends all connections to a replica that does not answer: what runs there fails, and who can runs it elsewhere. */
  closeReplica(server: ServerAddress): void {
    for (const connection of this.toReplicas) if (connection.server.host === server.host && connection.server.port === server.port) connection.close()
  }

  /** Servers have room for so many connections of all databases and roles together: what nobody has used for long is closed. */
  private closeUnused(): void {
    const before = this.clock.ticks() - limits.poolIdleMsMax
    for (const slot of this.slots.values()) {
      // The one that was given back last is taken first, so those at the front are the longest unused.
      for (let first = slot.idle[0]; first !== undefined && first.progressAt < before; first = slot.idle[0]) {
        slot.idle.shift()
        first.close()
      }
    }
  }

  close(): void {
    this.closed = true
    this.stopTimer()
    for (const slot of this.slots.values()) {
      for (const connection of slot.idle.splice(0)) connection.close()
    }
  }

  private async connect(key: string, slot: Slot, server: ServerAddress, database: string, user: string): Promise<Connection> {
    const { credentials, clock } = this
    const onOpen = (opened: Connection) => {
      if (server.isReplica !== true) return
      this.toReplicas.add(opened)
      const leave = opened.onClosed
      opened.onClosed = () => {
        this.toReplicas.delete(opened)
        leave?.()
      }
    }
    const connection = await enterServer({ server, database, user, credentials, clock, onOpen })
    this.slotOf.set(connection, key)
    const leave = connection.onClosed
    connection.onClosed = () => {
      leave?.()
      slot.open--
      const at = slot.idle.indexOf(connection)
      if (at >= 0) slot.idle.splice(at, 1)
      this.replace(key, slot, server, database, user)
    }
    return connection
  }

  private pause(ms: number, waits?: Waits): Promise<void> {
    return new Promise((resolve, reject) => {
      const fail = (error: SqlError) => {
        stopTimer()
        waits?.delete(fail)
        reject(error)
      }
      const stopTimer = this.clock.after(ms, () => {
        waits?.delete(fail)
        resolve()
      })
      waits?.add(fail)
    })
  }

  /** A waiter must not starve because the connection it would have got was closed. */
  private replace(key: string, slot: Slot, server: ServerAddress, database: string, user: string): void {
    if (this.closed || slot.waiting.size === 0 || slot.open >= limits.poolConnectionsMax) return
    slot.open++
    this.connect(key, slot, server, database, user).then(
      (connection) => this.release(connection),
      (error: SqlError) => {
        slot.open--
        this.failWaiters(slot, error)
      },
    )
  }

  private failWaiters(slot: Slot, error: SqlError): void {
    if (slot.open > 0) return
    for (const waiter of slot.waiting) waiter.fail(error)
  }

  private wait(slot: Slot, server: ServerAddress, waits?: Waits): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const settle = () => {
        slot.waiting.delete(waiter)
        waits?.delete(waiter.fail)
        stopTimer()
      }
      const waiter: Waiter = {
        give: (connection) => {
          settle()
          resolve(connection)
        },
        fail: (error) => {
          settle()
          reject(error)
        },
      }
      const stopTimer = this.clock.after(limits.poolWaitMsMax, () =>
        waiter.fail(
          new SqlError('53300', `no connection to ${server.name} became free within ${limits.poolWaitMsMax} ms`, {
            hint: 'Too many transactions are open at once.',
          }),
        ),
      )
      slot.waiting.add(waiter)
      waits?.add(waiter.fail)
    })
  }
}

function keyOf(server: ServerAddress, database: string, user: string): string {
  const place = server.isReplica === true ? `${server.host}:${server.port}` : server.id
  return `${place}\0${database}\0${user}`
}
