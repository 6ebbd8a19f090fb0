/** A catalog, shards, Redis and routers, each a process of its own that can be killed, stopped and started again by itself. */
import fs from 'node:fs'
import { realClock } from '../../../../src/base/clock.ts'
import { bootstrap, catalogAddress } from '../../../../src/coordination/bootstrap.ts'
import { EmbeddedCluster } from '../../../../src/embedded/embedded-cluster.ts'
import { freePort } from '../../../../src/embedded/free-port.ts'
import type { PostgresServer } from '../../../../src/embedded/postgres-server.ts'
import type { Identity } from '../dev-process.ts'
import { DevProcess, makeDataDir } from '../dev-process.ts'
import { killAtOnce, processesIn, send } from '../processes.ts'
import type { Server } from '../servers.ts'
import { readServers, startAgain } from '../servers.ts'

/** A part of the cluster. */
export interface Part {
  readonly name: string
  pids(): readonly number[]
  /** After all its processes have been killed. */
  startAgain(): Promise<unknown>
}

export class ChaosCluster {
  readonly servers: readonly Server[]
  readonly routerPorts: readonly number[]
  readonly parts: readonly Part[]
  readonly routers: readonly Part[]
  readonly redis: Part | undefined
  private readonly dataDir: string
  private readonly cluster: EmbeddedCluster
  private readonly restarted = new Map<number, PostgresServer>()
  private readonly running = new Map<number, DevProcess>()
  private readonly started: DevProcess[] = []
  private readonly routerProcess: Identity

  private constructor(dataDir: string, cluster: EmbeddedCluster, routerPorts: readonly number[], routerProcess: Identity) {
    this.routerProcess = routerProcess
    this.dataDir = dataDir
    this.cluster = cluster
    this.servers = readServers(dataDir)
    this.routerPorts = routerPorts
    this.redis = this.redisPart()
    this.routers = routerPorts.map((port) => this.routerPart(port))
    this.parts = [...this.servers.map((server) => this.serverPart(server)), ...this.routers, ...(this.redis === undefined ? [] : [this.redis])]
  }

  /** Routers are `pgherd router`, or a script that takes the same arguments. */
  static async start(shards: number, routers: number, routerProcess: Identity = {}): Promise<ChaosCluster> {
    const dataDir = makeDataDir()
    const cluster = await EmbeddedCluster.start({ dataDir, shards, replicas: 0 })
    const primaries = cluster.shards.map(({ primary }, i) => ({ name: `shard${i + 1}`, primary: { host: '127.0.0.1', port: primary.port }, replicas: [] }))
    await bootstrap(catalogAddress('127.0.0.1', cluster.catalog.port), primaries, { user: 'postgres' }, realClock)
    const ports: number[] = []
    for (let i = 0; i < routers; i++) ports.push(await freePort())
    const chaos = new ChaosCluster(dataDir, cluster, ports, routerProcess)
    try {
      await Promise.all(ports.map((port) => chaos.startRouter(port)))
    } catch (error) {
      await chaos.stop()
      throw error
    }
    return chaos
  }

  get redisUrl(): string | undefined {
    return this.cluster.redis?.url
  }

  /** The log of each router that ever ran, the earliest first. */
  get routersSaid(): string {
    return this.started.map((router) => router.progress).join('-- the next router\n')
  }

  async stop(): Promise<void> {
    for (const part of this.parts) for (const pid of part.pids()) send(pid, 'SIGCONT')
    await Promise.all([...this.running.values()].map((router) => router.interrupt().catch(() => router.kill('SIGKILL'))))
    await Promise.all([...this.restarted.values()].map((server) => server.stop()))
    await this.cluster.stop()
    killAtOnce(processesIn(this.dataDir))
    fs.rmSync(this.dataDir, { recursive: true, force: true })
  }

  private serverPart(server: Server): Part {
    return {
      name: server.name,
      pids: () => processesIn(server.dataDir),
      startAgain: async () => {
        await this.restarted.get(server.id)?.stop()
        this.restarted.set(server.id, await startAgain(server))
      },
    }
  }

  private routerPart(port: number): Part {
    const router = () => this.running.get(port)
    return {
      name: `router on ${port}`,
      pids: () => [router()].flatMap((one) => (one === undefined || one.hasEnded ? [] : [one.pid])),
      startAgain: async () => {
        await router()?.end()
        await this.startRouter(port)
      },
    }
  }

  private redisPart(): Part | undefined {
    const { redis } = this.cluster
    if (redis === undefined) return undefined
    return { name: 'redis', pids: () => (redis.pid === undefined ? [] : [redis.pid]), startAgain: () => redis.start() }
  }

  /** A router does not start while the catalog is away: it is started until it does. */
  private async startRouter(port: number): Promise<void> {
    const redis = this.redisUrl === undefined ? [] : ['--redis', this.redisUrl]
    const args = ['router', '--catalog', `postgres://postgres@127.0.0.1:${this.cluster.catalog.port}`, '--port', String(port), ...redis]
    for (let tries = 1; ; tries++) {
      const router = new DevProcess(args, this.routerProcess)
      this.running.set(port, router)
      this.started.push(router)
      try {
        await router.ready()
        return
      } catch (error) {
        await router.end()
        if (tries === 20) throw error
      }
    }
  }
}
