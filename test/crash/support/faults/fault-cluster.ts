/** A catalog and three shards behind fault proxies, and routers in this process that know only the proxies. */
import fs from 'node:fs'
import pg from 'pg'
import { realClock } from '../../../../src/base/clock.ts'
import { bootstrap, catalogAddress } from '../../../../src/coordination/bootstrap.ts'
import { EmbeddedCluster } from '../../../../src/embedded/embedded-cluster.ts'
import { consoleLogger } from '../../../../src/observability/logger.ts'
import { Router } from '../../../../src/router/router.ts'
import { FaultProxy } from '../../../support/proxy/fault-proxy.ts'
import { makeDataDir } from '../dev-process.ts'
import type { Server } from '../servers.ts'
import { readServers } from '../servers.ts'

export class FaultCluster {
  /** By server: 0 is the catalog. */
  readonly proxies: readonly FaultProxy[]
  readonly servers: readonly Server[]
  private readonly dataDir: string
  private readonly cluster: EmbeddedCluster
  private readonly direct: readonly pg.Pool[]
  private readonly routers: Router[] = []

  private constructor(dataDir: string, cluster: EmbeddedCluster, proxies: readonly FaultProxy[], direct: readonly pg.Pool[]) {
    this.dataDir = dataDir
    this.cluster = cluster
    this.proxies = proxies
    this.direct = direct
    this.servers = readServers(dataDir)
  }

  static async start(shards: number): Promise<FaultCluster> {
    const dataDir = makeDataDir()
    const cluster = await EmbeddedCluster.start({ dataDir, shards, replicas: 0 })
    const servers = readServers(dataDir)
    const proxies = await Promise.all(servers.map(({ port }) => FaultProxy.start(port)))
    const [catalog, ...others] = proxies.map(({ port }) => port)
    const primaries = others.map((port, i) => ({ name: `shard${i + 1}`, primary: { host: '127.0.0.1', port }, replicas: [] }))
    await bootstrap(catalogAddress('127.0.0.1', catalog ?? 0), primaries, { user: 'postgres' }, realClock)
    const direct = servers.map(({ port }) => new pg.Pool({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', max: 6 }))
    for (const pool of direct) pool.on('error', () => undefined) // idle ones end with the servers
    return new FaultCluster(dataDir, cluster, proxies, direct)
  }

  /** One more. Gives the port that it serves. */
  async startRouter(): Promise<number> {
    const catalog = catalogAddress('127.0.0.1', this.proxies[0]?.port ?? 0)
    const router = await Router.start({ catalog, credentials: { user: 'postgres' }, host: '127.0.0.1', port: 0, clock: realClock, log: consoleLogger('quiet') })
    this.routers.push(router)
    return router.port
  }

  async stopRouters(): Promise<void> {
    await Promise.all(this.routers.splice(0).map((router) => router.stop()))
  }

  /** Asks a server itself, without proxy or router. */
  async ask<Row extends pg.QueryResultRow>(server: number, sql: string): Promise<Row[]> {
    return (await (this.direct[server] as pg.Pool).query<Row>(sql)).rows
  }

  proxy(server: number): FaultProxy {
    return this.proxies[server] as FaultProxy
  }

  async stop(): Promise<void> {
    await this.stopRouters()
    await Promise.all(this.direct.map((pool) => pool.end()))
    for (const proxy of this.proxies) proxy.stop()
    await this.cluster.stop()
    fs.rmSync(this.dataDir, { recursive: true, force: true })
  }
}

export async function connect(port: number): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', connectionTimeoutMillis: 20_000, query_timeout: 90_000 })
  client.on('error', () => undefined) // whoever waits on it is told
  await client.connect()
  return client
}
