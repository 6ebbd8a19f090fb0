/**
 * A whole cluster of child processes for a laptop or a test: a catalog, shards with replicas, Redis where there is one.
 *
 * It only starts and stops processes. What runs on them is the same code as on servers that exist already. The layout
 * (`cluster.json` in the data folder) is written once, when the folder is made, and found again at the next start.
 */
import fs from 'node:fs'
import path from 'node:path'
import type pg from 'pg'
import { withAdmin } from '../coordination/admin-client.ts'
import { catalogAddress } from '../coordination/bootstrap.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { findBinaries } from './binaries.ts'
import { EmbeddedShard } from './embedded-shard.ts'
import { freePort } from './free-port.ts'
import { PostgresServer } from './postgres-server.ts'
import { discardPartial, markMade, slotOf } from './replica-of.ts'
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
  readonly shards: readonly ShardPlace[]
}

interface ShardPlace {
  readonly port: number
  readonly replicaPorts: readonly number[]
}

type MakeServer = (name: string, port: number) => PostgresServer

export class EmbeddedCluster {
  readonly catalog: PostgresServer
  shards: readonly EmbeddedShard[]
  redis: RedisServer | undefined
  private readonly root: string
  private readonly makeServer: MakeServer

  private constructor(catalog: PostgresServer, shards: readonly EmbeddedShard[], root: string, makeServer: MakeServer) {
    this.catalog = catalog
    this.shards = shards
    this.root = root
    this.makeServer = makeServer
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
      layout.shards.map((shard, i) => shardOf(shard, i, server)),
      root,
      server,
    )
    if (!user.canRead(root)) throw new Error(`PostgreSQL's user cannot reach ${root}: name another folder with --data-dir`)
    try {
      const fresh = !cluster.catalog.exists
      progress(fresh ? 'creating the servers' : 'starting the servers')
      const aborted = new Promise<never>((_, reject) => options.signal?.addEventListener('abort', () => reject(new Error('interrupted'))))
      await Promise.race([aborted, cluster.startAll(progress)])
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

  /** Servers of one more shard, which run and are empty. The next start finds them again. */
  async addShard(replicas: number): Promise<EmbeddedShard> {
    const place = await choosePorts(replicas)
    const layout = await readLayout(this.root)
    const shard = shardOf(place, layout.shards.length, this.makeServer)
    writeLayout(this.root, { ...layout, shards: [...layout.shards, place] })
    try {
      await create(shard)
      await shard.start()
    } catch (error) {
      await this.discardShard(shard)
      throw error
    }
    this.shards = [...this.shards, shard]
    return shard
  }

  /** Of the shard that was added last: nothing stays. */
  async discardShard(shard: EmbeddedShard): Promise<void> {
    this.shards = this.shards.filter((one) => one !== shard)
    for (const server of [...shard.replicas, shard.primary]) await server.stop()
    const layout = await readLayout(this.root)
    const ports = new Set(shard.servers.map(({ port }) => port))
    writeLayout(this.root, { ...layout, shards: layout.shards.filter(({ port }) => !ports.has(port)) })
    for (const { dataDir } of shard.servers) fs.rmSync(dataDir, { recursive: true, force: true })
  }

  private async startAll(progress: (line: string) => void): Promise<void> {
    const redis = findRedis()
    if (redis !== undefined) {
      this.redis = new RedisServer(redis, await freePort(), path.join(path.dirname(this.catalog.dataDir), 'redis.pid'))
    }
    for (const server of [this.catalog, ...this.shards.flatMap((shard) => shard.servers)]) discardPartial(server)
    if (!this.catalog.exists) {
      await Promise.all([this.catalog.init(), ...this.shards.filter(({ primary }) => !primary.exists).map(create)])
      markMade(this.catalog)
    }
    const catalogStarted = this.catalog.start().then(() => progress(`catalog on port ${this.catalog.port}`))
    const recorded = catalogStarted.then(() => recordedPrimaries(this.catalog))
    await Promise.all([
      this.redis?.start(),
      recorded,
      ...this.shards.map(async (shard, i) => {
        // Where one server alone follows nobody, it is the primary; else the catalog has to be asked.
        const [one, ...others] = shard.servers.filter((server) => server.exists && !server.isStandby)
        for (const port of one !== undefined && others.length === 0 ? [one.port] : await recorded) shard.primaryIsOn(port)
        if (!shard.primary.exists) await create(shard)
        await shard.start()
        progress(`shard ${i + 1} on port ${shard.primary.port}, ${shard.replicas.length} replica(s)`)
      }),
    ])
  }
}

/** Replicas of a primary that has never run are copies of its files. */
async function create({ primary, replicas }: EmbeddedShard): Promise<void> {
  await primary.init()
  for (const replica of replicas) {
    fs.rmSync(replica.dataDir, { recursive: true, force: true })
    await primary.cloneStopped(replica)
    replica.follow(primary.port, slotOf(replica))
    markMade(replica)
  }
  markMade(primary)
}

/** Their ports. None when the cluster is being made. */
async function recordedPrimaries(catalog: PostgresServer): Promise<number[]> {
  return (await catalog.ask(async (client) => (await client.query<{ exists: boolean }>('SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1) AS exists', [clusterDatabase])).rows[0]?.exists)) === true ? readPrimaries(catalog) : []
}

async function readPrimaries({ port }: PostgresServer): Promise<number[]> {
  const isMade = async (client: pg.Client) => (await client.query<{ name: string | null }>(`SELECT to_regclass('pgherd.server')::text AS name`)).rows[0]?.name !== null
  return withAdmin(catalogAddress('127.0.0.1', port), clusterDatabase, { user: 'postgres' }, async (client) =>
    (await isMade(client)) ? (await client.query<{ port: number }>(`SELECT port FROM pgherd.server WHERE role = 'primary'`)).rows.map((row) => row.port) : [],
  )
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
  if (fs.existsSync(layoutFile(root))) return readLayout(root)
  const shards = []
  const catalogPort = await freePort()
  for (let i = 0; i < options.shards; i++) shards.push(await choosePorts(options.replicas))
  const layout = { catalogPort, shards }
  writeLayout(root, layout)
  return layout
}

const layoutFile = (root: string) => path.join(root, 'cluster.json')

async function readLayout(root: string): Promise<Layout> {
  return JSON.parse(await fs.promises.readFile(layoutFile(root), 'utf8')) as Layout
}

function writeLayout(root: string, layout: Layout): void {
  const file = layoutFile(root)
  fs.writeFileSync(`${file}.new`, `${JSON.stringify(layout, undefined, 2)}\n`)
  fs.renameSync(`${file}.new`, file)
}

async function choosePorts(replicas: number): Promise<ShardPlace> {
  const replicaPorts = []
  for (let j = 0; j < replicas; j++) replicaPorts.push(await freePort())
  return { port: await freePort(), replicaPorts }
}

const shardOf = ({ port, replicaPorts }: ShardPlace, index: number, server: MakeServer) =>
  new EmbeddedShard([server(`shard${index + 1}`, port), ...replicaPorts.map((one, j) => server(`shard${index + 1}-replica${j + 1}`, one))])
