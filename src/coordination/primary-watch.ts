/**
 * Finds the primary of each shard by asking its servers, and puts it on record for all routers.
 *
 * A look: ask all servers of a shard what they are. When one has been promoted (choose-primary.ts): use the old one no more, fence it off if it
 * answers (fence-server.ts), record the new one in the cluster's database if its term is still the one known here, and read the list anew. Only what is on record is
 * used, so that all routers go by one history. Whoever promotes, a person, another program or pgherd, nobody has to tell a router.
 */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'
import type { Logger } from '../observability/logger.ts'
import { identityQuery, readIdentity } from '../shard/server-identity.ts'
import { withAdmin } from './admin-client.ts'
import { clusterDatabase } from './catalog-store.ts'
import type { ServerAnswer } from './choose-primary.ts'
import { choosePrimary, leftBehind } from './choose-primary.ts'
import { fenceServer } from './fence-server.ts'
import { KeptClient } from './kept-client.ts'
import type { ServerList } from './server-list.ts'

export interface PrimaryWatchOptions {
  readonly list: ServerList
  readonly catalog: ServerAddress
  /** Without `primaries`: servers are asked that are none. */
  readonly credentials: Credentials
  readonly clock: Clock
  readonly log: Logger
  /** Nothing on a timeline before this one is the shard's primary any more. */
  readonly onTimeline: (shard: number, timeline: number) => void
}

const asText = { getTypeParser: () => (value: string) => value } as unknown as pg.CustomTypesConfig

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
    const { list } = this.options
    this.closeUnused()
    const shards = new Set(list.servers.filter(({ role, timeline }) => role === 'replica' || timeline === 0).map(({ shard }) => shard))
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
    const { list, onTimeline } = this.options
    const servers = list.servers.filter((server) => server.shard === shard)
    const answers = (await Promise.all(servers.map((server) => this.ask(server)))).filter((answer) => answer !== undefined)
    const next = choosePrimary(answers)
    const timeline = next?.identity.timeline ?? servers[0]?.timeline ?? 0
    if (next !== undefined) onTimeline(shard, timeline)
    await Promise.all(leftBehind(answers, timeline).map((answer) => this.fence(answer)))
    if (next === undefined) return list.noteLeftBehind(answers.map(({ server }) => server), answers.filter(({ server, identity }) => server.role === 'replica' && !identity.isInRecovery).map(({ server }) => server))
    await this.record(next)
    await list.refresh()
  }

  private async fence({ server, identity }: ServerAnswer): Promise<void> {
    const { credentials, log } = this.options
    const what = `${server.host}:${server.port}, which was the primary of ${server.name} on timeline ${identity.timeline}`
    await fenceServer(server, identity.timeline, credentials).then(
      () => log.warn(`fenced off ${what}`),
      (error: Error) => log.warn(`cannot fence off ${what}: ${error.message}`),
    )
  }

  /** Another router may have been here first; then the list says so. */
  private async record({ server, identity, systemIdentifier }: ServerAnswer): Promise<void> {
    const { catalog, credentials, log } = this.options
    const values = [server.shard, server.term, server.host, server.port, identity.timeline, systemIdentifier]
    const change = (client: pg.Client) => client.query<{ term: string | null }>('SELECT pgherd.change_primary($1, $2, $3, $4, $5, $6) AS term', values)
    const { rows } = await withAdmin(catalog, clusterDatabase, credentials, change, limits.serverAnswerMsMax)
    const term = rows[0]?.term ?? undefined
    if (term !== undefined && server.role !== 'primary') log.warn(`${server.host}:${server.port} was promoted: it is the primary of ${server.name}, timeline ${identity.timeline}, term ${term}`)
  }

  private async ask(server: ShardServer): Promise<ServerAnswer | undefined> {
    try {
      return await this.clientOf(server).ask(async (client) => {
        const text = `${identityQuery}, (SELECT system_identifier FROM pg_catalog.pg_control_system())`
        const { rows } = await client.query<string[]>({ text, rowMode: 'array', types: asText })
        const row = rows[0] ?? []
        return { server, identity: readIdentity(row), systemIdentifier: row[4] ?? '' }
      })
    } catch {
      return undefined
    }
  }

  private clientOf({ shard, name, host, port }: ShardServer): KeptClient {
    const key = `${host}:${port}`
    const { credentials, clock } = this.options
    const known = this.clients.get(key)
    if (known !== undefined) return known
    const made = new KeptClient({ server: { id: shard, name, host, port }, database: 'postgres', credentials, answerMsMax: limits.primaryAnswerMsMax, awayMs: 0, clock })
    this.clients.set(key, made)
    return made
  }

  private closeUnused(): void {
    const places = new Set(this.options.list.servers.map(({ host, port }) => `${host}:${port}`))
    for (const [place, client] of this.clients) {
      if (places.has(place)) continue
      client.close()
      this.clients.delete(place)
    }
  }
}
