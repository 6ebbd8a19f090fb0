/**
 * A whole cluster of child processes for a laptop or a test: a catalog, shards with replicas, Redis where there is one.
 *
 * It only starts and stops processes. What runs on them is the same code as on servers that exist already. The layout
 * (`cluster.json` in the data folder) is written once, when the folder is made, and found again at the next start.
 */
import fs from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { findBinaries } from './binaries.ts'
import { freePort } from './free-port.ts'
import { PostgresServer } from './postgres-server.ts'
import { startTime } from './start-time.ts'
import { findRedis, RedisServer } from './redis-server.ts'
import { serverUser } from './server-user.ts'

export interface EmbeddedOptions {
  readonly dataDir: string
  readonly shards: number
  readonly replicas: number
  readonly pgBin?: string | undefined
  readonly onProgress?: (line: string) => void
  /** Ends a start that is under way: what has been started is stopped. */
  readonly signal?: AbortSignal | undefined
}

interface Layout {
  readonly catalogPort: number
  readonly shards: readonly { readonly port: number; readonly replicaPorts: readonly number[] }[]
}

export interface EmbeddedShard {
  readonly primary: PostgresServer
  readonly replicas: readonly PostgresServer[]
}

export class EmbeddedCluster {
  readonly catalog: PostgresServer
  readonly shards: readonly EmbeddedShard[]
  redis: RedisServer | undefined

  private constructor(catalog: PostgresServer, shards: readonly EmbeddedShard[]) {
    this.catalog = catalog
    this.shards = shards
  }

  static async start(options: EmbeddedOptions): Promise<EmbeddedCluster> {
    const progress = options.onProgress ?? (() => undefined)
    const user = serverUser()
    const binaries = findBinaries(user, options.pgBin)
    const root = path.resolve(options.dataDir)
    fs.mkdirSync(root, { recursive: true })
    claimFolder(root)
    const layout = await readOrMakeLayout(root, options)
    const server = (name: string, port: number) => new PostgresServer(binaries, user, path.join(root, name), port)
    const cluster = new EmbeddedCluster(
      server('catalog', layout.catalogPort),
      layout.shards.map((shard, i) => ({
        primary: server(`shard${i + 1}`, shard.port),
        replicas: shard.replicaPorts.map((port, j) => server(`shard${i + 1}-replica${j + 1}`, port)),
      })),
    )
    if (!user.canRead(root)) throw new Error(`PostgreSQL's user cannot reach ${root}: name another folder with --data-dir`)
    try {
      const fresh = !cluster.catalog.exists
      progress(fresh ? 'creating the servers' : 'starting the servers')
      const aborted = new Promise<never>((_, reject) => options.signal?.addEventListener('abort', () => reject(new Error('interrupted'))))
      await Promise.race([aborted, cluster.createMissing().then(() => cluster.startAll(progress))])
    } catch (error) {
      await cluster.stop()
      throw error
    }
    return cluster
  }

  async stop(): Promise<void> {
    await Promise.all(this.shards.flatMap((shard) => shard.replicas.map((replica) => replica.stop())))
    await Promise.all([this.catalog.stop(), ...this.shards.map((shard) => shard.primary.stop()), this.redis?.stop()])
  }

  private async createMissing(): Promise<void> {
    const primaries = [this.catalog, ...this.shards.map((shard) => shard.primary)]
    for (const server of [...primaries, ...this.shards.flatMap((shard) => shard.replicas)]) discardPartial(server)
    await Promise.all(primaries.filter((primary) => !primary.exists).map((primary) => create(primary)))
    for (const shard of this.shards) {
      for (const [i, replica] of shard.replicas.entries()) {
        if (replica.exists) continue
        await shard.primary.cloneStopped(replica)
        replica.follow(shard.primary.port, slotName(i))
        markMade(replica)
      }
    }
    for (const primary of primaries) markMade(primary)
  }

  private async startAll(progress: (line: string) => void): Promise<void> {
    const redis = findRedis()
    if (redis !== undefined) {
      this.redis = new RedisServer(redis, await freePort(), path.join(path.dirname(this.catalog.dataDir), 'redis.pid'))
    }
    await Promise.all([
      this.redis?.start(),
      this.catalog.start().then(() => progress(`catalog on port ${this.catalog.port}`)),
      ...this.shards.map(async (shard, i) => {
        await shard.primary.start()
        await makeSlots(shard)
        await Promise.all(shard.replicas.map((replica) => replica.start()))
        progress(`shard ${i + 1} on port ${shard.primary.port}, ${shard.replicas.length} replica(s)`)
      }),
    ])
  }
}

const slotName = (replica: number) => `pgherd_replica_${replica + 1}`

/** A crash in the middle of initdb leaves a folder without the mark that it was finished. */
function discardPartial(server: PostgresServer): void {
  const done = path.join(server.dataDir, 'pgherd.made')
  if (fs.existsSync(server.dataDir) && !fs.existsSync(done)) fs.rmSync(server.dataDir, { recursive: true, force: true })
}

async function create(server: PostgresServer): Promise<void> {
  await server.init()
}

/** The last thing done to a new server. */
function markMade(server: PostgresServer): void {
  fs.writeFileSync(path.join(server.dataDir, 'pgherd.made'), '')
}

async function makeSlots(shard: EmbeddedShard): Promise<void> {
  if (shard.replicas.length === 0) return
  const client = new pg.Client({ host: '127.0.0.1', port: shard.primary.port, user: 'postgres', database: 'postgres' })
  await client.connect()
  for (const i of shard.replicas.keys()) {
    const slot = slotName(i)
    await client.query(
      `SELECT pg_create_physical_replication_slot($1, true)
       WHERE NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = $1)`,
      [slot],
    )
  }
  await client.end()
}

/** One router owns a data folder: its pid is in it. Throws when another lives. */
function claimFolder(root: string): void {
  const file = path.join(root, 'router.pid')
  if (fs.existsSync(file)) {
    const [pidText, started] = fs.readFileSync(file, 'utf8').split('\n')
    const pid = Number(pidText)
    if (pid !== process.pid && started === startTime(pid)) throw new Error(`${root} is in use: pgherd runs there already, as process ${pid}`)
  } else if (!fs.existsSync(path.join(root, 'cluster.json')) && fs.readdirSync(root).length > 0) {
    throw new Error(`${root} holds other files: name an empty folder with --data-dir`)
  }
  fs.writeFileSync(file, `${process.pid}\n${startTime(process.pid)}\n`)
}

async function readOrMakeLayout(root: string, options: EmbeddedOptions): Promise<Layout> {
  const file = path.join(root, 'cluster.json')
  if (fs.existsSync(file)) return JSON.parse(fs.readFileSync(file, 'utf8')) as Layout
  const shards = []
  const catalogPort = await freePort()
  for (let i = 0; i < options.shards; i++) {
    const replicaPorts = []
    for (let j = 0; j < options.replicas; j++) replicaPorts.push(await freePort())
    shards.push({ port: await freePort(), replicaPorts })
  }
  const layout = { catalogPort, shards }
  fs.writeFileSync(`${file}.new`, `${JSON.stringify(layout, undefined, 2)}\n`)
  fs.renameSync(`${file}.new`, file)
  return layout
}
