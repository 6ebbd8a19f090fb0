/**
 * Finds the primary of each shard, and of the catalog, by asking its servers, and puts a shard's on record for all routers.
 *
 * A look: ask all servers of a shard what they are. When one has been promoted (choose-primary.ts): use the old one no more, fence it off if it
 * answers (fence-server.ts), record the new one in the cluster's database if its term is still the one known here, and read the list anew. Only what is on record is
 * used, so that all routers go by one history. Whoever promotes, a person, another program or pgherd, nobody has to tell a router.
 */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import type { Logger } from '../observability/logger.ts'
import { identityQuery, readIdentity } from '../shard/server-identity.ts'
import { withAdmin } from './admin-client.ts'
import type { CatalogServers } from './catalog-servers.ts'
import { clusterDatabase } from './catalog-store.ts'
import type { ServerAnswer } from './choose-primary.ts'
import { choosePrimary, leftBehind } from './choose-primary.ts'
import { fenceServer } from './fence-server.ts'
import { KeptClient } from './kept-client.ts'
import { noteCatalogTimeline } from './note-catalog.ts'
import type { ServerList } from './server-list.ts'

export interface PrimaryWatchOptions {
  readonly list: ServerList
  readonly catalog: CatalogServers
  /** Without `primaries`: servers are asked that are none. */
  readonly login: Credentials
  readonly credentials: Credentials
  readonly clock: Clock
  readonly log: Logger
  /** Nothing on a timeline before this one is the shard's primary any more. */
  readonly onTimeline: (shard: number, timeline: number) => void
}

const asText = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig

/** Of a server that was never promoted. */
const firstTimeline = 1

const addressOf = ({ shard, name, host, port }: ShardServer): ServerAddress => ({ id: shard, name, host, port })

export class PrimaryWatch {
  private readonly options: PrimaryWatchOptions
  private readonly clients = new Map<string, KeptClient>()
  private readonly looking = new Map<number, Promise<void>>()
  private readonly stopTimer: () => void

  constructor(options: PrimaryWatchOptions) {
    this.options = options
    this.stopTimer = options.clock.every(limits.primaryLookEveryMs, () => void this.lookAtAll())
  }

  /** At all shards where there is something to see. Does not fail. */
  async lookAtAll(): Promise<void> {
    this.closeUnused()
    const shards = new Set(this.servers.filter(({ role, timeline }) => role === 'replica' || timeline === 0).map(({ shard }) => shard))
    await Promise.all([...shards].map((shard) => this.look(shard)))
  }

  /** One that has begun before may end this. Does not fail. */
  look(shard: number): Promise<void> {
    const known = this.looking.get(shard)
    if (known !== undefined) return known
    const looking = this.lookAt(shard)
      .catch((error: Error) => this.options.log.debug(`primary of shard ${shard}: ${error.message}`))
      .finally(() => this.looking.delete(shard))
    this.looking.set(shard, looking)
    return looking
  }

  close(): void {
    this.stopTimer()
    for (const client of this.clients.values()) client.close()
    this.clients.clear()
  }

  private async lookAt(shard: number): Promise<void> {
    const { onTimeline } = this.options
    const servers = this.servers.filter((server) => server.shard === shard)
    const answers = (await Promise.all(servers.map((server) => this.ask(server)))).filter((answer) => answer !== undefined)
    const next = choosePrimary(answers)
    const timeline = next?.identity.timeline ?? servers[0]?.timeline ?? 0
    if (next !== undefined) onTimeline(shard, timeline)
    await this.compareCatalog(answers)
    await Promise.all(leftBehind(answers, timeline).map((answer) => this.fence(answer)))
    if (next === undefined) return this.noteLeftBehind(shard, answers)
    if (shard === catalogId) await this.followCatalog(next)
    else await this.record(next)
  }

  private noteLeftBehind(shard: number, answers: readonly ServerAnswer[]): void {
    if (shard === catalogId) return
    const left = answers.filter(({ server, identity }) => server.role === 'replica' && !identity.isInRecovery)
    this.options.list.noteLeftBehind(answers.map(({ server }) => server), left.map(({ server }) => server))
  }

  private get servers(): readonly ShardServer[] {
    const { catalog, list } = this.options
    return [...catalog.servers, ...list.servers]
  }

  /** Shards and routers tell each other how far the catalog has come. */
  private async compareCatalog(answers: readonly ServerAnswer[]): Promise<void> {
    const { catalog, login, log, onTimeline } = this.options
    for (const { identity } of answers) if (identity.catalogTimeline > catalog.timeline) onTimeline(catalogId, identity.catalogTimeline)
    const behind = answers.filter(({ server, identity }) => server.shard !== catalogId && server.role === 'primary' && Math.max(firstTimeline, identity.catalogTimeline) < catalog.timeline && !identity.isInRecovery)
    await noteCatalogTimeline(behind.map(({ server }) => addressOf(server)), catalog.timeline, login, log)
  }

  private async followCatalog(next: ServerAnswer): Promise<void> {
    const { list, catalog, login, log } = this.options
    const { server, identity } = next
    if (identity.timeline > firstTimeline) await noteCatalogTimeline(list.shards, identity.timeline, login, log)
    if (server.role !== 'primary') log.warn(`${server.host}:${server.port} is the catalog's primary, timeline ${identity.timeline}`)
    catalog.adopt(next)
  }

  private async fence({ server, identity }: ServerAnswer): Promise<void> {
    const { login, log } = this.options
    const what = `${server.host}:${server.port}, which was the primary of ${server.name} on timeline ${identity.timeline}`
    await fenceServer(server, identity.timeline, login).then(
      () => log.warn(`fenced off ${what}`),
      (error: Error) => log.warn(`cannot fence off ${what}: ${error.message}`),
    )
  }

  /** Another router may have been here first; then the list says so. */
  private async record({ server, identity, systemIdentifier }: ServerAnswer): Promise<void> {
    const { catalog, credentials, list, log } = this.options
    const values = [server.shard, server.term, server.host, server.port, identity.timeline, systemIdentifier]
    const change = (client: pg.Client) => client.query<{ term: string | null }>('SELECT pgherd.change_primary($1, $2, $3, $4, $5, $6) AS term', values)
    const { rows } = await withAdmin(catalog.primary, clusterDatabase, credentials, change, limits.serverAnswerMsMax)
    const term = rows[0]?.term ?? undefined
    if (term !== undefined && server.role !== 'primary') log.warn(`${server.host}:${server.port} was promoted: it is the primary of ${server.name}, timeline ${identity.timeline}, term ${term}`)
    await list.refresh()
  }

  private async ask(server: ShardServer): Promise<ServerAnswer | undefined> {
    try {
      return await this.clientOf(server).ask(async (client) => {
        const text = `${identityQuery}, (SELECT system_identifier FROM pg_catalog.pg_control_system())`
        const { rows } = await client.query<string[]>({ text, rowMode: 'array', types: asText })
        const row = rows[0] ?? []
        return { server, identity: readIdentity(row), systemIdentifier: row[5] ?? '' }
      })
    } catch {
      return undefined
    }
  }

  private clientOf(server: ShardServer): KeptClient {
    const key = `${server.host}:${server.port}`
    const { login: credentials, clock } = this.options
    const known = this.clients.get(key)
    if (known !== undefined) return known
    const made = new KeptClient({ server: addressOf(server), database: 'postgres', credentials, answerMsMax: limits.primaryAnswerMsMax, awayMs: 0, clock })
    this.clients.set(key, made)
    return made
  }

  private closeUnused(): void {
    const places = new Set(this.servers.map(({ host, port }) => `${host}:${port}`))
    for (const [place, client] of this.clients) {
      if (places.has(place)) continue
      client.close()
      this.clients.delete(place)
    }
  }
}
