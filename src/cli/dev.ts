/** `pgherd dev`: a whole cluster on this machine, until Ctrl-C. */
import type { NewServers } from '../admin/shard-parts.ts'
import type { Clock } from '../base/clock.ts'
import { bootstrap, catalogAddress } from '../coordination/bootstrap.ts'
import { EmbeddedCluster } from '../embedded/embedded-cluster.ts'
import { KeepServers } from '../embedded/keep-servers.ts'
import { removeRouterFile, writeRouterFile } from '../embedded/router-file.ts'
import type { Logger } from '../observability/logger.ts'
import { Router } from '../router/router.ts'

export interface DevOptions {
  readonly shards: number
  readonly replicas: number
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly pgBin: string | undefined
  readonly clock: Clock
  readonly log: Logger
  readonly signal?: AbortSignal | undefined
  /** Servers that die are started again; those that were replaced become replicas. */
  readonly keepServers?: boolean
}

export interface RunningCluster {
  readonly port: number
  readonly cluster: EmbeddedCluster
  readonly router: Router
  stop(): Promise<void>
}

/** For `pgherd shard add` without a server's name. */
async function newServers(cluster: EmbeddedCluster, replicas: number): Promise<NewServers> {
  const shard = await cluster.addShard(replicas)
  const at = ({ port }: { port: number }) => ({ host: '127.0.0.1', port })
  return { servers: [at(shard.primary), ...shard.replicas.map(at)], discard: () => cluster.discardShard(shard) }
}

const credentials = { user: 'postgres' }

export async function startDev(options: DevOptions): Promise<RunningCluster> {
  const { clock, log, host, dataDir } = options
  const cluster = await EmbeddedCluster.start({ ...options, onProgress: (line) => log.info(line) })
  // From the start: what a commit waits for may be a replica that has to be made first.
  const keep = options.keepServers === false ? undefined : new KeepServers(cluster, clock, log)
  try {
    const catalog = catalogAddress('127.0.0.1', cluster.catalog.port)
    const shards = cluster.shards.map((shard, i) => ({
      name: `shard${i + 1}`,
      primary: { host: '127.0.0.1', port: shard.primary.port },
      replicas: shard.replicas.map((replica) => ({ host: '127.0.0.1', port: replica.port })),
    }))
    const goOn = () => {
      if (options.signal?.aborted === true) throw new Error('interrupted')
    }
    goOn()
    await bootstrap(catalog, shards, credentials, clock, (line) => log.info(line))
    goOn()
    const router = await Router.start({ catalog, credentials, redis: cluster.redis?.url, host, port: options.port, newServers: () => newServers(cluster, options.replicas), clock, log })
    const stop = async () => {
      removeRouterFile(dataDir)
      await keep?.stop()
      await router.stop()
      await cluster.stop()
    }
    if (options.signal?.aborted === true) await router.stop()
    goOn()
    writeRouterFile(dataDir, { host, port: router.port })
    return { port: router.port, cluster, router, stop }
  } catch (error) {
    await keep?.stop()
    await cluster.stop()
    throw error
  }
}
