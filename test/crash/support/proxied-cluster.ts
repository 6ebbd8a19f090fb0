/** A catalog and two shards behind proxies, and a router in a process of its own that knows only the proxies. */
import fs from 'node:fs'
import { realClock } from '../../../src/base/clock.ts'
import { bootstrap, catalogAddress } from '../../../src/coordination/bootstrap.ts'
import { EmbeddedCluster } from '../../../src/embedded/embedded-cluster.ts'
import { DevProcess, makeDataDir } from './dev-process.ts'
import { HoldingProxy } from './holding-proxy.ts'
import { killAtOnce, processesIn } from './processes.ts'
import type { Server } from './servers.ts'
import { readServers } from './servers.ts'

export class ProxiedCluster {
  readonly dataDir: string
  readonly servers: readonly Server[]
  /** By server: 0 is the catalog. */
  readonly proxies: readonly HoldingProxy[]
  private readonly cluster: EmbeddedCluster
  private router: DevProcess | undefined

  private constructor(dataDir: string, cluster: EmbeddedCluster, servers: readonly Server[], proxies: readonly HoldingProxy[]) {
    this.dataDir = dataDir
    this.cluster = cluster
    this.servers = servers
    this.proxies = proxies
  }

  static async start(): Promise<ProxiedCluster> {
    const dataDir = makeDataDir()
    const cluster = await EmbeddedCluster.start({ dataDir, shards: 2, replicas: 0 })
    const servers = readServers(dataDir)
    const proxies = await Promise.all(servers.map((server) => HoldingProxy.start(server.port)))
    const [catalog, ...shards] = proxies.map((proxy) => proxy.port)
    const primaries = shards.map((port, i) => ({ name: `shard${i + 1}`, primary: { host: '127.0.0.1', port }, replicas: [] }))
    await bootstrap(catalogAddress('127.0.0.1', catalog ?? 0), primaries, { user: 'postgres' }, realClock)
    return new ProxiedCluster(dataDir, cluster, servers, proxies)
  }

  /** Gives the port that it serves. */
  async startRouter(): Promise<number> {
    this.router = new DevProcess(['router', '--catalog', `postgres://postgres@127.0.0.1:${this.proxies[0]?.port}`, '--port', '0'])
    return this.router.ready()
  }

  async killRouter(): Promise<void> {
    killAtOnce([this.router?.pid ?? 0])
    await this.router?.end()
    for (const proxy of this.proxies) proxy.release()
  }

  /** `others` stops servers that somebody has started again. */
  async stop(others: () => Promise<unknown>): Promise<void> {
    await this.router?.interrupt()
    for (const proxy of this.proxies) proxy.stop()
    await others()
    await this.cluster.stop()
    killAtOnce(processesIn(this.dataDir))
    fs.rmSync(this.dataDir, { recursive: true, force: true })
  }
}
