/** Moves in a test's own cluster: movers that are told to stop at a step, and what servers are left with. */
import pg from 'pg'
import { realClock } from '../../../src/base/clock.ts'
import type { RunningCluster } from '../../../src/cli/dev.ts'
import { limits } from '../../../src/base/limits.ts'
import type { ServerAddress } from '../../../src/catalog/server-address.ts'
import { catalogAddress, readCluster } from '../../../src/coordination/bootstrap.ts'
import { CatalogFences } from '../../../src/coordination/fences.ts'
import { LeasedLocks } from '../../../src/coordination/leased-locks.ts'
import type { LeaseStore } from '../../../src/coordination/locks.ts'
import { OwnLeaseStore } from '../../../src/coordination/own-lease-store.ts'
import { singleCopyStatements } from '../../../src/executor/schema/single-copy.ts'
import { consoleLogger } from '../../../src/observability/logger.ts'
import type { Move, MoveRequest, MoveWish } from '../../../src/rebalance/move.ts'
import { readMoves, requestMoves, requestTableMoves, wishOfMoves } from '../../../src/rebalance/move-requests.ts'
import { Mover } from '../../../src/rebalance/mover.ts'
import { SqlTransactionServer } from '../../../src/transaction/sql-transaction-server.ts'
import { until } from '../../crash/support/until.ts'
import { leftoversOn } from './leftovers.ts'
import type { TestCluster } from '../../support/cluster.ts'

const credentials = { user: 'postgres' }
const log = { ...consoleLogger(process.env['MOVE_LOG'] === undefined ? 'quiet' : 'debug') }

export class Moving {
  readonly catalog: ServerAddress
  shards: readonly ServerAddress[] = []
  private clusterId = ''
  private readonly running: RunningCluster
  private readonly store: LeaseStore = new OwnLeaseStore(realClock)
  private readonly movers: { mover: Mover; locks: LeasedLocks }[] = []
  private readonly clients: pg.Client[] = []

  private constructor(catalog: ServerAddress, running: RunningCluster) {
    this.catalog = catalog
    this.running = running
  }

  static async of(cluster: TestCluster): Promise<Moving> {
    const moving = new Moving(catalogAddress('127.0.0.1', cluster.running.cluster.catalog.port), cluster.running)
    const { id, shards } = await readCluster(moving.catalog, credentials)
    moving.clusterId = id
    moving.shards = shards
    return moving
  }

  async stop(): Promise<void> {
    for (const { mover, locks } of this.movers) {
      await mover.stop()
      await locks.close()
    }
    await Promise.all(this.clients.map((client) => client.end().catch(() => undefined)))
  }

  /** A mover like a router's, and no other beside it. What `onStep` throws makes it begin the stage again. */
  async only(onStep: (step: string, move: Move) => void = () => undefined): Promise<Mover> {
    await this.stopMovers()
    return this.mover(onStep)
  }

  async stopMovers(): Promise<void> {
    await this.running.router.mover.stop()
    await Promise.all(this.movers.map(({ mover }) => mover.stop()))
  }

  /** A mover like a router's, beside others. */
  mover(onStep: (step: string, move: Move) => void = () => undefined): Mover {
    const { catalog, store, clusterId } = this
    const locks = new LeasedLocks({ store, fences: new CatalogFences(catalog, credentials), holder: 'a mover', leaseMs: limits.leaseMs, clock: realClock, log })
    const servers = [catalog, ...this.shards].map((server) => new SqlTransactionServer(server, credentials))
    const mover = new Mover({ catalog, shards: () => this.shards, credentials, commit: { clusterId, clock: realClock, log, inFlight: new Set(), servers }, singleCopy: singleCopyStatements, locks, databases: () => ['postgres'], clock: realClock, log, onStep })
    this.movers.push({ mover, locks })
    return mover
  }

  async on(server: ServerAddress, database = 'postgres'): Promise<pg.Client> {
    const client = new pg.Client({ host: server.host, port: server.port, user: 'postgres', database })
    client.on('error', () => undefined)
    await client.connect()
    this.clients.push(client)
    return client
  }

  shard(id: number): ServerAddress {
    const shard = this.shards.find((one) => one.id === id)
    if (shard === undefined) throw new Error(`no shard ${id}`)
    return shard
  }

  async request(...requests: readonly MoveRequest[]): Promise<number[]> {
    return requestMoves(await this.on(this.catalog), requests)
  }

  /** A single table's number, and its shard. */
  async single(table: string): Promise<{ table: number; shard: number }> {
    const { rows } = await (await this.catalogClient()).query<{ table: number; shard: number }>('SELECT id AS "table", shard_id AS shard FROM pgherd.placement WHERE oid = $1::regclass', [table])
    const [row] = rows
    if (row === undefined) throw new Error(`${table} is not placed`)
    return row
  }

  async requestTable(table: string): Promise<number> {
    const single = await this.single(table)
    const [id = 0] = await requestTableMoves(await this.on(this.catalog), [{ table: single.table, target: 3 - single.shard }])
    return id
  }

  async wish(ids: readonly number[], wish: MoveWish): Promise<void> {
    await wishOfMoves(await this.catalogClient(), ids, wish)
  }

  async move(id: number): Promise<Move> {
    const [move] = await readMoves(await this.catalogClient(), [id])
    if (move === undefined) throw new Error(`no move ${id}`)
    return move
  }

  private catalogLasting: Promise<pg.Client> | undefined

  private catalogClient(): Promise<pg.Client> {
    return (this.catalogLasting ??= this.on(this.catalog))
  }

  async untilStage(id: number, stage: Move['stage']): Promise<void> {
    let last = ''
    await until(`move ${id} is ${stage}`, async () => {
      const move = await this.move(id)
      if (move.stage !== stage) last = `${move.stage} ${move.error ?? ''}`
      return move.stage === stage
    }, 60_000).catch((error: Error) => {
      throw new Error(`${error.message} (${last})`)
    })
  }

  /** The group of a table, and the shard of each of its buckets. */
  async buckets(table: string): Promise<{ group: number; owners: number[] }> {
    const client = await this.catalogClient()
    const { rows } = await client.query<{ group: number; owners: number[] }>(
      `SELECT p.group_id AS "group", array_agg(b.shard_id ORDER BY b.bucket) AS owners FROM pgherd.placement p JOIN pgherd.bucket b USING (group_id) WHERE p.oid = $1::regclass GROUP BY 1`,
      [table],
    )
    const [row] = rows
    if (row === undefined) throw new Error(`${table} is not distributed`)
    return row
  }

  /** What moves make and are to take away again: nothing should be left of it once they are over. */
  async leftovers(): Promise<string[]> {
    const all = await Promise.all(this.shards.map(async (shard) => leftoversOn(await this.on(shard), shard.name)))
    return all.flat()
  }
}
