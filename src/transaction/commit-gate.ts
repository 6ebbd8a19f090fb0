/**
 * The readers' side of the gate: snapshots of several servers between the commits over several servers (the committers' side is in commit.ts).
 *
 * A commit over several servers holds the gate of one of them from before its decision until its last part is visible. Who holds
 * the gates of all servers therefore finds each such commit visible everywhere or nowhere, for as long as it holds them: it opens
 * its snapshots, lets go, and trusts them if all gates were still held then. Readers hold the gate together, so they never wait for each other.
 * All gates are held also where a few servers are read: a commit that wrote on those may hold the gate of another. Which servers are all the catalog says
 * under its own gate, which a shard passes that joins: so a router that has not heard of it does not read beside it.
 *
 * Sessions of a router that come while gates are waited for share the hold; those that come while it is in use share the next one: so
 * committers come between.
 */
import { SqlError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'

export interface GateHold {
  /** What the catalog says, and keeps true as long as the hold lasts: the shards of the database. Undefined on a shard. */
  readonly members?: readonly number[] | undefined
  /** False when it was lost before. Does not fail. */
  release(): Promise<boolean>
}

export interface GateServer {
  readonly id: number
  readonly name: string
  /** Undefined when a commit is in the gate for too long; throws when the server does not answer. A hold ends by itself when its router sleeps. */
  hold(database: string): Promise<GateHold | undefined>
}

/** Sessions that open their snapshots in the same hold. */
class Party {
  private readonly guests: Promise<unknown>[] = []
  readonly held = new Deferred<void>()
  /** Whether the gates were held throughout. */
  readonly over = new Deferred<boolean>()

  bring(work: Promise<unknown>): void {
    this.guests.push(work)
  }

  /** Resolves when all who came in time have opened their snapshots, or failed to. */
  async gone(): Promise<void> {
    await Promise.allSettled(this.guests)
  }
}

class Deferred<T> {
  readonly promise: Promise<T>
  resolve: (value: T) => void = () => undefined
  reject: (error: unknown) => void = () => undefined
  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
    this.promise.catch(() => undefined) // nobody may be waiting any more
  }
}

interface Door {
  next: Party | undefined
  isRunning: boolean
}

export interface GateParts {
  /** The catalog and the shards of a database, as far as this router knows. */
  readonly servers: (database: string) => readonly GateServer[]
  /** Asks the catalog for them anew. */
  readonly refresh: (database: string) => Promise<unknown>
  readonly clock: Clock
}

export class CommitGate {
  private readonly parts: GateParts
  private readonly clock: Clock
  private readonly doors = new Map<string, Door>()

  constructor(parts: GateParts) {
    this.parts = parts
    this.clock = parts.clock
  }

  /**
   * Runs `open`, which opens snapshots, while the gates of all servers are held. True when they are of one moment; false when the hold was lost, and
   * the snapshots mean nothing. Throws what `open` throws, 55P03 when commits are in the gate for too long, 08006 when a server does not answer.
   */
  async through(database: string, open: () => Promise<void>): Promise<boolean> {
    const door = this.doors.get(database) ?? { next: undefined, isRunning: false }
    this.doors.set(database, door)
    const party = (door.next ??= new Party())
    if (!door.isRunning) void this.run(database, door)
    await party.held.promise
    const work = open()
    party.bring(work)
    await work
    return party.over.promise
  }

  /** One party after the other, as long as some come. Does not fail. */
  private async run(database: string, door: Door): Promise<void> {
    door.isRunning = true
    // Those who ask in the same turn of the event loop come along.
    await Promise.resolve()
    for (let party = door.next; party !== undefined; party = door.next) await this.serve(database, door, party)
    door.isRunning = false
    this.doors.delete(database)
  }

  private async serve(database: string, door: Door, party: Party): Promise<void> {
    let holds: readonly GateHold[]
    try {
      holds = await this.holdAll(database)
    } catch (error) {
      door.next = undefined
      party.held.reject(error)
      return
    }
    door.next = undefined
    party.held.resolve()
    await Promise.resolve() // everybody is told before it is looked who came
    await this.clockLimit(party.gone())
    const released = await Promise.all(holds.map((hold) => hold.release()))
    party.over.resolve(!released.includes(false))
  }

  /** Whoever takes longer than servers let a hold be idle has lost it in any case. */
  private async clockLimit(work: Promise<void>): Promise<void> {
    let stop: () => void = () => undefined
    const limit = new Promise<void>((resolve) => (stop = this.clock.after(limits.gateHoldMsMax, resolve)))
    await Promise.race([work, limit])
    stop()
  }

  private async holdAll(database: string): Promise<readonly GateHold[]> {
    const until = this.clock.ticks() + limits.gateWaitMsMax
    for (;;) {
      const servers = this.parts.servers(database)
      const results = await Promise.allSettled(servers.map((server) => server.hold(database)))
      const holds = results.flatMap((result) => (result.status === 'fulfilled' && result.value !== undefined ? [result.value] : []))
      const isCurrent = knowsAll(servers, holds)
      if (isCurrent && holds.length === servers.length) return holds
      await Promise.all(holds.map((hold) => hold.release()))
      if (!isCurrent) await this.parts.refresh(database)
      if (!isCurrent && this.clock.ticks() <= until) continue
      const failed = results.findIndex((result) => result.status === 'rejected')
      if (failed >= 0) throw new SqlError('08006', `no moment to read all servers at: ${servers[failed]?.name ?? ''} does not answer`, { hint: "SET pgherd.read_consistency = 'shard' reads each server by itself." })
      if (this.clock.ticks() > until) {
        throw new SqlError('55P03', 'no moment to read all servers at: commits over several of them do not end', { hint: 'Try again, or look for prepared transactions of a router that has gone.' })
      }
      // Committers waited behind this request: they go first.
      await this.clock.sleep(limits.gatePauseMs)
    }
  }
}

/** The servers are those that the catalog says there are, if it was asked. */
function knowsAll(servers: readonly GateServer[], holds: readonly GateHold[]): boolean {
  const members = holds.find((hold) => hold.members !== undefined)?.members
  return members === undefined || (members.length === servers.length - 1 && members.every((id) => servers.some((server) => server.id === id)))
}
