/**
 * Works on the moves of all databases, as one router of the cluster.
 *
 * A database's moves are its mover's that has the lock `moves of <database>`; with Redis away, nobody's. The mover takes moves in the
 * order in which they were asked for, as many at a time as shards may take part in. When it stops or loses its lock, its
 * connections are closed, and the next one goes on from the stages that are stored.
 */
import { limits } from '../base/limits.ts'
import type { Clock } from '../base/clock.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { KeptClient } from '../coordination/kept-client.ts'
import type { Lease, Locks } from '../coordination/locks.ts'
import type { Logger } from '../observability/logger.ts'
import type { CommitContext } from '../transaction/commit.ts'
import type { Move } from './move.ts'
import { whatMoves } from './move.ts'
import type { MoveJob } from './move-job.ts'
import { readUnfinished } from './move-requests.ts'
import { MoveRecord, MoveTaken } from './move-record.ts'
import { MoveSessions } from './move-sessions.ts'
import { MoveWatch } from './move-watch.ts'
import { runMove } from './run-move.ts'
import type { SingleCopyStatements } from './single-tables.ts'

export interface MoverParts {
  readonly catalog: ServerAddress
  readonly shards: () => readonly ServerAddress[]
  readonly credentials: Credentials
  readonly commit: CommitContext
  readonly singleCopy: SingleCopyStatements
  readonly locks: Locks
  /** Those that this router serves: their moves are found sooner than others'. */
  readonly databases?: (() => readonly string[]) | undefined
  readonly clock: Clock
  readonly log: Logger
  /** Is told of each step before it is done; what it throws ends the move's mover as a crash would. */
  readonly onStep?: ((step: string, move: Move) => void) | undefined
}

interface Running {
  readonly move: Move
  readonly sessions: MoveSessions
  readonly ended: Promise<void>
}

/** When a move that has failed is tried again. */
interface Retry {
  readonly at: number
  readonly pauseMs: number
}

export class Mover {
  private readonly parts: MoverParts
  private readonly works = new Map<string, Promise<void>>()
  private readonly stopping = new AbortController()
  private readonly watch: MoveWatch
  private readonly stopTimer: () => void
  private turning: Promise<void> | undefined

  constructor(parts: MoverParts) {
    this.parts = parts
    this.watch = new MoveWatch(parts)
    this.stopTimer = parts.clock.every(limits.moverEveryMs, () => void this.turn())
  }

  /** Looks for moves that nobody works on. Does not fail. */
  turn(): Promise<void> {
    this.turning ??= this.look()
      .catch((error: Error) => this.parts.log.debug(`moves: ${error.message}`))
      .finally(() => (this.turning = undefined))
    return this.turning
  }

  async stop(): Promise<void> {
    this.stopTimer()
    this.stopping.abort(new Error('the router stops'))
    await this.turning
    this.watch.close()
    await Promise.all(this.works.values())
  }

  private async look(): Promise<void> {
    const { locks, log } = this.parts
    for (const [database, moves] of await this.watch.unfinished()) {
      if (this.works.has(database) || this.stopping.signal.aborted) continue
      if (!moves.some((move) => isAtWork(move) && !move.isWorkedOn)) continue
      const lease = await locks.acquire(`moves of ${database}`)
      if (lease === undefined) continue
      const work = new DatabaseMoves(database, lease, this.stopping.signal, this.parts)
        .run()
        .catch((error: Error) => log.warn(`moves of ${database}: ${error.message}`))
        .finally(async () => {
          await lease.release()
          this.works.delete(database)
        })
      this.works.set(database, work)
    }
  }
}

/** A paused move that has made nothing yet needs nobody. */
const isAtWork = ({ stage, wanted }: Move) => wanted !== 'paused' || (stage !== 'waiting' && stage !== 'catching-up')

class DatabaseMoves {
  private readonly database: string
  private readonly lease: Lease
  private readonly signal: AbortSignal
  private readonly parts: MoverParts
  private readonly running = new Map<number, Running>()
  private readonly retries = new Map<number, Retry>()

  constructor(database: string, lease: Lease, stopping: AbortSignal, parts: MoverParts) {
    this.database = database
    this.lease = lease
    this.signal = AbortSignal.any([stopping, lease.lost])
    this.parts = parts
  }

  /** Until nothing is left to do, or it may do no more. */
  async run(): Promise<void> {
    const { catalog, credentials, clock } = this.parts
    const kept = new KeptClient({ server: catalog, database: this.database, credentials, answerMsMax: limits.serverAnswerMsMax, awayMs: 0, clock })
    const stopAll = () => this.running.forEach(({ sessions }) => sessions.stopWork())
    this.signal.addEventListener('abort', stopAll)
    try {
      while (!this.signal.aborted) {
        const unfinished = await kept.ask(readUnfinished)
        const open = unfinished.filter(isAtWork)
        if (open.length === 0 && this.running.size === 0) return
        for (const move of open) if (this.mayStart(move, open)) await this.start(move)
        await Promise.race([clock.sleep(limits.movePollMs), ...[...this.running.values()].map(({ ended }) => ended)])
      }
    } finally {
      stopAll()
      await Promise.all([...this.running.values()].map(({ ended }) => ended))
      kept.close()
      this.signal.removeEventListener('abort', stopAll)
    }
  }

  private mayStart(move: Move, open: readonly Move[]): boolean {
    if (this.running.has(move.id) || this.parts.clock.ticks() < (this.retries.get(move.id)?.at ?? 0)) return false
    const busy = [...this.running.values()].map((one) => one.move)
    const isFree = (server: number) => busy.filter(({ source, target }) => source === server || target === server).length < limits.movesPerServerMax
    // What was begun comes first: it holds a slot, and with it the source's log.
    const isBegun = ({ stage }: Move) => stage !== 'waiting'
    const others = open.filter((other) => isBegun(other) && !isBegun(move) && !this.running.has(other.id) && (this.retries.get(other.id)?.at ?? 0) <= this.parts.clock.ticks())
    return isFree(move.source) && isFree(move.target) && !others.some((other) => [other.source, other.target].some((id) => id === move.source || id === move.target))
  }

  private async start(move: Move): Promise<void> {
    const { catalog, credentials, commit, singleCopy, clock, log, onStep } = this.parts
    const server = (id: number) => this.parts.shards().find((shard) => shard.id === id)
    const [source, target] = [server(move.source), server(move.target)]
    if (source === undefined || target === undefined) return this.failed(move, new Error('a shard of the move is not known'))
    const prefix = await namePrefix(this.database, this.parts)
    const name = prefix + String(move.id)
    const sessions = new MoveSessions(name, this.database, credentials)
    const step = (what: string) => {
      log.debug(`move ${move.id}: ${what}`)
      onStep?.(what, move)
    }
    const work = async () => {
      const record = new MoveRecord(await sessions.on(catalog), move.id, this.lease.fence)
      const { id } = move
      const stopBeating = clock.every(limits.moverBeatMs, () => void record.beat(true).catch(() => undefined)) // who works hears of a lost connection
      try {
        await runMove({ id, moved: movedBy(move), singleCopy, database: this.database, catalog, source, target, name, sessions, record, credentials, commit, clock, log, signal: this.signal, onStep: step })
        this.retries.delete(move.id)
      } finally {
        stopBeating()
        await record.beat(false).catch(() => undefined) // another takes over later
      }
    }
    const ended = work()
      .catch((error: Error) => this.failed(move, error))
      .finally(() => {
        sessions.close()
        this.running.delete(move.id)
      })
    this.running.set(move.id, { move, sessions, ended })
  }

  private async failed(move: Move, error: Error): Promise<void> {
    if (this.signal.aborted) return
    const { catalog, credentials, clock, log } = this.parts
    if (error instanceof MoveTaken) {
      this.retries.set(move.id, { at: clock.ticks() + limits.moverSilenceMsMax, pauseMs: limits.moveRetryMsMin })
      return
    }
    const pauseMs = Math.min(2 * (this.retries.get(move.id)?.pauseMs ?? limits.moveRetryMsMin / 2), limits.moveRetryMsMax)
    this.retries.set(move.id, { at: clock.ticks() + pauseMs, pauseMs })
    log.warn(`move ${move.id} of ${whatMoves(move)} to shard ${move.target}: ${error.message}`)
    await withAdmin(catalog, this.database, credentials, (client) => new MoveRecord(client, move.id, this.lease.fence).note({ error: error.message }), limits.serverAnswerMsMax).catch(
      (other: Error) => log.debug(`move ${move.id}: ${other.message}`),
    )
  }
}

const movedBy = ({ group, bucket, table }: Move): MoveJob['moved'] =>
  table === undefined ? { kind: 'bucket', group: group ?? 0, bucket: bucket ?? 0 } : { kind: 'table', table }

/** Slots are the server's: their names tell the cluster and the database too. */
async function namePrefix(database: string, { catalog, credentials, commit }: MoverParts): Promise<string> {
  const oid = await withAdmin(catalog, database, credentials, async (client) => (await client.query<{ oid: string }>('SELECT oid::text FROM pg_database WHERE datname = current_database()')).rows[0]?.oid, limits.serverAnswerMsMax)
  return `pgherd_${commit.clusterId}_${oid}_`
}
