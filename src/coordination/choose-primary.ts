/**
 * Which server of a shard is its primary, from what they say of themselves.
 *
 * PostgreSQL gives each promotion a later timeline. Of several servers that say that they are primaries, the one on the latest is: it was
 * promoted from what the others were. The one on record stays the primary as long as nobody is on a later timeline than the record's, so that
 * routers that hear different servers never disagree for long: all go by the record, which only goes forward.
 */
import type { ServerIdentity } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { ShardServer } from '../catalog/snapshot.ts'

export interface ServerAnswer {
  readonly server: ShardServer
  readonly identity: ServerIdentity
  readonly systemIdentifier: string
}

/** The answer of who should go on record as the primary; undefined when the record may stay as it is. */
export function choosePrimary(answers: readonly ServerAnswer[]): ServerAnswer | undefined {
  const primaries = answers.filter(isPrimaryOfShard)
  // A shard of which nothing is known yet has the primary that it was made with: others could be anybody's. Of the catalog nothing is on record, but a router is told all its servers.
  const isFirst = ({ shard, role }: ShardServer) => (shard === catalogId ? new Set(answers.map(({ systemIdentifier }) => systemIdentifier)).size === 1 : role === 'primary')
  const mayFollow = primaries.filter(({ server, identity }) => (server.timeline === 0 ? isFirst(server) : identity.timeline > server.timeline))
  return mayFollow.reduce<ServerAnswer | undefined>((best, one) => (best === undefined || goesBefore(one, best) ? one : best), undefined)
}

/** Those that were primaries before `timeline` began and still take themselves for such, and can be entered by others who do. */
export function leftBehind(answers: readonly ServerAnswer[], timeline: number): ServerAnswer[] {
  return answers.filter((answer) => isPrimaryOfShard(answer) && answer.identity.timeline < timeline)
}

/** One that was fenced off on the timeline that it is on can be nothing but a replica, from a later one on. */
function isPrimaryOfShard({ server, identity, systemIdentifier }: ServerAnswer): boolean {
  const isOfShard = server.systemIdentifier === '' || server.systemIdentifier === systemIdentifier
  return isOfShard && !identity.isInRecovery && identity.fencedTimeline < identity.timeline
}

/** Two that were promoted from the same primary are on the same timeline: any order will do that is the same for all routers. */
function goesBefore({ server, identity }: ServerAnswer, other: ServerAnswer): boolean {
  if (identity.timeline !== other.identity.timeline) return identity.timeline > other.identity.timeline
  return `${server.host}:${server.port}` < `${other.server.host}:${other.server.port}`
}
