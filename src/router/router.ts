/** A router: everything that serves clients, built from the address of a catalog. */
import os from 'node:os'
import type { NewServers } from '../admin/shard-parts.ts'
import type { Clock } from '../base/clock.ts'
import { singleCopyStatements } from '../executor/schema/single-copy.ts'
import { Garbage } from '../base/garbage.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { readCluster } from '../coordination/bootstrap.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { checkServers } from '../coordination/check-servers.ts'
import { CatalogServers } from '../coordination/catalog-servers.ts'
import { CatalogStore, clusterDatabase } from '../coordination/catalog-store.ts'
import { recoverDatabases, type DatabaseServers } from '../coordination/database-changes.ts'
import { recoverIndexChanges } from '../coordination/index-changes.ts'
import { Duty } from '../coordination/duty.ts'
import { ClusterSettings } from '../coordination/cluster-settings.ts'
import { CatalogFences } from '../coordination/fences.ts'
import { LeasedLocks } from '../coordination/leased-locks.ts'
import type { LeaseStore, Locks } from '../coordination/locks.ts'
import { removedShards } from '../coordination/members.ts'
import { migrate } from '../coordination/migrate.ts'
import { OwnLeaseStore } from '../coordination/own-lease-store.ts'
import { RedisLeaseStore } from '../coordination/redis-lease-store.ts'
import { PerServer } from '../coordination/per-server.ts'
import { PrimaryWatch } from '../coordination/primary-watch.ts'
import { ReplicaWatch } from '../coordination/replica-watch.ts'
import { ServerList } from '../coordination/server-list.ts'
import { ServerPrimaries } from '../coordination/server-primaries.ts'
import { SequenceValues } from '../executor/sequence-values.ts'
import { ShellNames } from '../executor/shell-names.ts'
import { Guard } from '../failover/guard.ts'
import { guardSettings } from '../failover/settings.ts'
import type { Logger } from '../observability/logger.ts'
import { Mover, type MoverParts } from '../rebalance/mover.ts'
import { Pool } from '../shard/pool.ts'
import { parserReady } from '../sql/parse.ts'
import type { CommitContext } from '../transaction/commit.ts'
import { CommitGate } from '../transaction/commit-gate.ts'
import { DeadlockDetector } from '../transaction/deadlock-detector.ts'
import { forgetDecisions } from '../transaction/forget-decisions.ts'
import { ForgetMoves } from '../transaction/forget-moves.ts'
import { Lanes } from '../transaction/lanes.ts'
import { Recovery } from '../transaction/recovery.ts'
import { SqlGateServer } from '../transaction/sql-gate-server.ts'
import { SqlTransactionServer } from '../transaction/sql-transaction-server.ts'
import type { Transaction } from '../transaction/transaction.ts'
import { KnownStatements } from './known-statements.ts'
import { ParseCache } from './parse-cache.ts'
import { TemplateStore } from './templates.ts'
import { RouterServer } from './server.ts'
import type { Services } from './services.ts'

export interface RouterOptions {
  readonly catalog: ServerAddress
  readonly credentials: Credentials
  readonly host: string
  readonly port: number
  /** redis://[USER:PASSWORD@]HOST:PORT, where the locks are that routers share. Without, they are this router's own. */
  readonly redis?: string | undefined
  /** Starts the servers of one more shard, where the router is beside them. */
  readonly newServers?: (() => Promise<NewServers>) | undefined
  readonly clock: Clock
  readonly log: Logger
  /** Is told of each step of a move before it is done. */
  readonly onMoveStep?: MoverParts['onStep']
}

/** What a router does for the whole cluster. */
interface ControlPlane {
  readonly locks: Locks
  readonly duties: readonly Duty[]
  readonly detector: DeadlockDetector
  readonly mover: Mover
  readonly guard: Guard
  readonly stopTimers: readonly (() => void)[]
}

export class Router {
  readonly port: number
  private readonly server: RouterServer
  private readonly services: Services
  private readonly control: ControlPlane

  private constructor(port: number, server: RouterServer, services: Services, control: ControlPlane) {
    this.port = port
    this.server = server
    this.services = services
    this.control = control
  }

  /** Throws when the catalog cannot be reached or the port is taken. */
  static async start(options: RouterOptions): Promise<Router> {
    const begun: (() => void)[] = []
    try {
      return await Router.build(options, begun)
    } catch (error) {
      for (const end of begun) end()
      throw error
    }
  }

  /** `begun` gets what ends what goes on by itself. */
  private static async build(options: RouterOptions, begun: (() => void)[]): Promise<Router> {
    await parserReady
    const { catalog, clock, log } = options
    const catalogServers = new CatalogServers(catalog)
    const list = new ServerList({ servers: [], read: async () => (await readCluster(catalog, credentials)).servers, clock, log })
    const primaries = new ServerPrimaries(list, catalogServers, clock)
    const credentials = { ...options.credentials, primaries }
    const login = { ...options.credentials, primaries: primaries.ofCatalog }
    const watch = new PrimaryWatch({ list, catalog: catalogServers, login: options.credentials, credentials, clock, log, onTimeline: (shard, timeline) => primaries.noteTimeline(shard, timeline) })
    primaries.watch = watch
    begun.push(() => watch.close(), () => list.close())
    await watch.look(catalog.id)
    await withAdmin(catalog, clusterDatabase, credentials, (client) => migrate(client, ['cluster'])).catch((error: Error & { code?: string }) => {
      if (error.code !== '3D000') throw error
      throw new Error(`${catalog.host}:${catalog.port} is not the catalog of a cluster: make it one with pgherd init`)
    })
    const { id } = await readCluster(catalog, credentials)
    await list.refresh()
    const store = new CatalogStore(catalog, id, list, credentials, clock, log)
    list.onChange = (before) => {
      primaries.listChanged(before)
      store.serversChanged()
    }
    catalogServers.onChange = (before) => {
      primaries.closeAll(before)
      store.serversChanged()
    }
    await watch.lookAtAll()
    await checkServers([catalog, ...list.shards], credentials, (line) => log.warn(line))
    const everyServer = () => [catalog, ...list.shards]
    const transactionServers = new PerServer((server) => new SqlTransactionServer(server, credentials), () => undefined)
    const pool = new Pool(clock, credentials)
    const commit: CommitContext = { clusterId: id, clock, log, inFlight: new Set<string>(), get servers() { return transactionServers.of(everyServer()) } }
    const databases: DatabaseServers = { catalog, credentials, preparedPrefix: `pgherd:${id}:`, log }
    const fences = new CatalogFences(catalog, credentials)
    const replicas = new ReplicaWatch({ servers: () => store.servers, credentials, clock, log, onGone: (server) => pool.closeReplica(server) })
    const gates = new PerServer((server) => new SqlGateServer(server, credentials, clock), (gone) => gone.close())
    const gate = new CommitGate({
      servers: (database) => {
        const members = store.current(database)?.members
        return gates.of(everyServer()).filter((server) => server.id === catalog.id || members?.includes(server.id) !== false)
      },
      refresh: (database) => store.refresh(database),
      clock,
    })
    const clusterSettings = new ClusterSettings(catalog, credentials, clock, log)
    begun.push(() => clusterSettings.close())
    await clusterSettings.refresh()
    let port = options.port
    const locks = new LeasedLocks({ store: await leaseStore(options, id), fences, get holder() { return `${os.hostname()}:${port}` }, leaseMs: limits.leaseMs, clock, log })
    const shared = { clock, log, store, pool, lanes: new Lanes(pool, clock, log), names: new ShellNames(pool, catalog), sequences: new SequenceValues(pool, catalog), commit, transactions: new Set<Transaction>(), credentials, catalog, gate }
    const services: Services = { ...shared, garbage: new Garbage(clock), parsed: new ParseCache(), known: new KnownStatements(), templates: new TemplateStore(), clients: new Map(), databases, fences, replicas, clusterSettings, admin: { catalog, credentials, locks, clock, log }, shards: { ...shared, login, list, locks, newServers: options.newServers } }
    const server = new RouterServer(services)
    port = await server.listen(options.host, options.port).catch(async (error: unknown) => {
      await locks.close()
      throw error
    })
    const recovery = new Recovery(fences, commit)
    const duties = [
      new Duty('recovery of transactions', limits.recoveryEveryMs, locks, clock, log, (lease) => recovery.run(lease)),
      new Duty('recovery of databases', limits.recoveryEveryMs, locks, clock, log, (lease) => recoverDatabases(databases, lease)),
      new Duty('recovery of index builds', limits.recoveryEveryMs, locks, clock, log, (lease) => recoverIndexChanges(databases, lease)),
    ]
    await Promise.all(duties.map((duty) => duty.turn()))
    const detector = new DeadlockDetector({ catalog, shards: () => store.shards, clusterId: id, credentials, transactions: services.transactions, clock, log })
    // Who recovers also clears up.
    const moves = new ForgetMoves(() => list.shards, credentials, log)
    const forget = async () => {
      await forgetDecisions(commit, await removedShards(catalog, credentials).catch(() => undefined))
      await moves.run()
    }
    const stopForgetting = clock.every(limits.forgetEveryMs, () => void (duties[0]?.isHeld === true && forget()))
    const stopDetector = clock.every(limits.deadlockEveryMs, () => void detector.run())
    const mover = new Mover({ catalog, shards: () => store.shards, credentials, commit, singleCopy: singleCopyStatements, locks, databases: () => store.servedDatabases, clock, log, onStep: options.onMoveStep })
    const guard = new Guard({ catalog, credentials: login, locks, clock, log, settings: () => guardSettings(clusterSettings.values) })
    return new Router(port, server, services, { locks, duties, detector, mover, guard, stopTimers: [stopDetector, stopForgetting, () => clusterSettings.close(), () => list.close(), () => watch.close(), () => void gates.of([])] })
  }

  /** Works on moves of buckets beside serving clients. */
  get mover(): Mover {
    return this.control.mover
  }

  async stop(): Promise<void> {
    for (const stopTimer of this.control.stopTimers) stopTimer()
    await this.server.close()
    await Promise.all([this.control.detector.stop(), this.control.mover.stop(), this.control.guard.stop(), ...this.control.duties.map((duty) => duty.stop())])
    await this.control.locks.close()
    this.services.replicas.close()
    this.services.lanes.close()
    this.services.pool.close()
    await this.services.store.close()
  }
}

function leaseStore({ redis, clock, log }: RouterOptions, clusterId: string): Promise<LeaseStore> {
  if (redis !== undefined) return RedisLeaseStore.open(redis, clusterId, log)
  log.info('no Redis: locks are this router\'s own, so that others of the cluster may do its work again')
  return Promise.resolve(new OwnLeaseStore(clock))
}
