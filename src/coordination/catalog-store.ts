/**
 * The catalog as a router sees it: the cluster's shards, and for each database the newest snapshot that it knows.
 *
 * A snapshot is loaded when a session first needs it and replaced when somebody says that it is behind: a statement that
 * was refused as stale, this router's own schema changes, a notification from another router.
 */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { Builtins, ShardServer, Snapshot } from '../catalog/snapshot.ts'
import type { Logger } from '../observability/logger.ts'
import { adminClient } from './admin-client.ts'
import { GroupHolds, holdNews } from './group-holds.ts'
import { loadBuiltins, loadSnapshot } from './load-snapshot.ts'
import { isBehind } from './migrate.ts'
import { prepareDatabase } from './prepare-database.ts'
import type { ServerList } from './server-list.ts'

export const clusterDatabase = 'pgherd'

const undefinedDatabase = '3D000'

const asText = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig

interface DatabaseEntry {
  snapshot: Snapshot | undefined
  client: Promise<pg.Client> | undefined
  loading: Promise<Snapshot> | undefined
}

export class CatalogStore {
  readonly catalog: ServerAddress
  readonly clusterId: string
  private readonly list: ServerList
  private readonly credentials: Credentials
  private readonly clock: Clock
  private readonly log: Logger
  /** Of table groups that are being cut over. */
  readonly holds: GroupHolds
  private readonly databases = new Map<string, DatabaseEntry>()
  private builtinFacts: Builtins | undefined

  constructor(catalog: ServerAddress, clusterId: string, list: ServerList, credentials: Credentials, clock: Clock, log: Logger) {
    this.catalog = catalog
    this.clusterId = clusterId
    this.list = list
    this.credentials = credentials
    this.clock = clock
    this.log = log
    this.holds = new GroupHolds(clock)
  }

  get servers(): readonly ShardServer[] {
    return this.list.servers
  }

  get shards(): readonly ServerAddress[] {
    return this.list.shards
  }

  /** Loads the snapshots at hand again: the list of servers is another. */
  serversChanged(): void {
    for (const database of this.knownDatabases) this.refreshBeside(database)
  }

  /** The snapshot at hand, if any: it may be behind. */
  current(database: string): Snapshot | undefined {
    return this.databases.get(database)?.snapshot
  }

  get builtins(): Builtins {
    if (this.builtinFacts === undefined) throw new Error('no snapshot has been loaded yet')
    return this.builtinFacts
  }

  async get(database: string): Promise<Snapshot> {
    return this.current(database) ?? this.refresh(database)
  }

  /** The snapshot at hand if its schema is still the newest, else a new one. */
  async newest(database: string): Promise<Snapshot> {
    const entry = this.databases.get(database)
    const [known, client] = [entry?.snapshot, await entry?.client?.catch(() => undefined)]
    if (known === undefined || client === undefined || entry?.loading !== undefined) return this.refresh(database)
    const answer = await client.query<{ version: string }>({ text: 'SELECT version FROM pgherd.schema_version', types: asText }).catch(() => undefined)
    return Number(answer?.rows[0]?.version) === known.version ? known : this.refresh(database)
  }

  /** A snapshot loaded after this call. Throws 3D000 when there is no such database. */
  async refresh(database: string): Promise<Snapshot> {
    const entry = this.databases.get(database) ?? { snapshot: undefined, client: undefined, loading: undefined }
    this.databases.set(database, entry)
    // A load under way may have begun before the change that the caller knows of: one more follows it.
    const before = entry.loading
    const loading = (before?.catch(() => undefined) ?? Promise.resolve()).then(() => this.load(database, entry))
    entry.loading = loading
    try {
      return await loading
    } finally {
      if (entry.loading === loading) entry.loading = undefined
    }
  }

  forget(database: string): Promise<void> {
    const entry = this.databases.get(database)
    this.databases.delete(database)
    return entry?.client?.then((client) => client.end()).catch(() => undefined) ?? Promise.resolve()
  }

  get knownDatabases(): string[] {
    return [...this.databases.keys()]
  }

  /** Of those, the ones that it is connected to: one that was dropped through another router is not. */
  get servedDatabases(): string[] {
    return this.knownDatabases.filter((database) => this.databases.get(database)?.client !== undefined)
  }

  async close(): Promise<void> {
    this.holds.close()
    await Promise.all(this.knownDatabases.map((database) => this.forget(database)))
  }

  private async load(database: string, entry: DatabaseEntry): Promise<Snapshot> {
    try {
      entry.client ??= this.connect(database)
      const client = await entry.client
      const ask = async (sql: string) => Object.values((await client.query<Record<string, string>>({ text: sql, types: asText })).rows[0] ?? {})[0]
      this.builtinFacts ??= await loadBuiltins(ask)
      await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL search_path = ''`)
      const { servers } = this
      const loaded = await loadSnapshot(ask, database, servers, this.builtinFacts)
      await client.query('ROLLBACK')
      // A shard was added since the list was read.
      if (servers === this.servers && !loaded.members.every((shard) => this.list.has(shard))) await this.list.refresh()
      if (servers !== this.servers) return await this.load(database, entry)
      // Answers may overtake each other: the newest stays.
      if (entry.snapshot === undefined || loaded.version >= entry.snapshot.version) entry.snapshot = loaded
      return entry.snapshot
    } catch (error) {
      void entry.client?.then((client) => client.end()).catch(() => undefined)
      entry.client = undefined
      const { code, message } = error as Error & { code?: string }
      if (code === '42P01' || code === '3F000') {
        throw new SqlError('3D000', `database "${database}" is not one of this cluster`, {
          hint: 'It exists on the catalog only. CREATE DATABASE through pgherd makes one everywhere.',
        })
      }
      throw new SqlError(code?.length === 5 ? code : '08006', message)
    }
  }

  private hear(database: string, payload: string | undefined): void {
    const news = holdNews(payload)
    if (news === undefined) this.refreshBeside(database)
    else if (news.kind !== 'free') this.holds.hold(database, news.group, news.kind === 'hold-all')
    else {
      // Who has waited then plans with the layout that the cut-over has made.
      const loading = this.databases.get(database)?.loading?.catch(() => undefined)
      void Promise.resolve(loading).then(() => this.holds.free(database, news.group))
    }
  }

  private refreshBeside(database: string): void {
    this.refresh(database).catch((error: Error) => this.log.warn(`snapshot of ${database}: ${error.message}`))
  }

  /** Waits while the catalog's primary is sought, where it has replicas. */
  private async enter(database: string): Promise<pg.Client> {
    const { catalog, clock, credentials } = this
    const until = clock.ticks() + limits.failoverWaitMsMax
    for (;;) {
      try {
        return await adminClient(catalog, database, credentials)
      } catch (error) {
        const isThere = (error as { code?: string }).code === undefinedDatabase
        if (isThere || clock.ticks() > until || credentials.primaries?.seek(catalog) !== true) throw error
      }
      await clock.sleep(limits.failoverRetryMs)
    }
  }

  /** The connection that reads snapshots also hears of other routers' schema changes. */
  private async connect(database: string): Promise<pg.Client> {
    const client = await this.enter(database)
    client.on('notification', ({ payload }) => this.hear(database, payload))
    client.on('end', () => {
      const entry = this.databases.get(database)
      if (entry !== undefined) entry.client = undefined
    })
    if (await isBehind(client)) await prepareDatabase(this.catalog, this.list.joined, database, this.credentials)
    await client.query('LISTEN pgherd_schema')
    return client
  }
}
