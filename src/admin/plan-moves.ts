/** Which buckets and single tables of a database should move, with their bytes and the time that moving them takes. */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { planRebalance } from '../catalog/plan-rebalance.ts'
import { primariesOf } from '../catalog/snapshot.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { readCluster } from '../coordination/bootstrap.ts'
import type { AdminContext } from './admin-context.ts'
import type { LeafBytes } from './bucket-bytes.ts'
import { leafKey, measureLeaves } from './bucket-bytes.ts'
import { msOf, msOfAll, readSpeed } from './move-speed.ts'
import type { TableMove } from './plan-table-moves.ts'
import { planTableMoves } from './plan-table-moves.ts'

/** What is to be even: the number of buckets on each shard, or their bytes. */
export type BalanceBy = 'buckets' | 'bytes'

export interface BucketMove {
  readonly group: number
  /** Names of its tables, as the shell's search path shows them. */
  readonly tables: readonly string[]
  readonly bucket: number
  readonly table: undefined
  readonly source: number
  readonly target: number
  readonly bytes: number
}

export type PlannedMove = (BucketMove | TableMove) & { readonly ms: number }

export interface MovesPlan {
  readonly moves: readonly PlannedMove[]
  readonly bytes: number
  /** Of all, when as many go at a time as may. */
  readonly ms: number
}

interface Group {
  readonly id: number
  readonly owners: readonly number[]
  readonly tables: readonly { readonly id: number; readonly name: string }[]
}

export function asBalanceBy(text: string): BalanceBy {
  if (text === 'buckets' || text === 'bytes') return text
  throw new SqlError('22023', `cannot balance by "${text}"`, { hint: 'It is buckets or bytes.' })
}

/** What is on shards that are being drained goes to the active ones, whose buckets are brought to about the same. */
export async function planMoves(context: AdminContext, database: string, by: BalanceBy): Promise<MovesPlan> {
  const { catalog, credentials } = context
  const { servers } = await readCluster(catalog, credentials)
  // One that joins has no buckets, and perhaps not even the database.
  const addresses = primariesOf(servers.filter(({ state }) => state !== 'joining'))
  const shards = servers.filter(({ role, state }) => role === 'primary' && state === 'active').map(({ shard }) => shard)
  return withAdmin(catalog, database, credentials, async (client) => {
    const [groups, speed] = [await readGroups(client), await readSpeed(client)]
    const bytes = await measureLeaves(database, addresses, context)
    const buckets = groups.flatMap(({ id, owners, tables }) => {
      const weights = bucketBytes(owners, tables, bytes)
      const planned = planRebalance({ name: `group ${id}`, owners, weights: by === 'bytes' ? weights : owners.map(() => 1), shards })
      return planned.map(({ bucket, source, target }): BucketMove => {
        const size = weights[bucket] ?? 0
        return { group: id, tables: tables.map(({ name }) => name), bucket, table: undefined, source, target, bytes: size }
      })
    })
    const planned = [...buckets, ...(await planTableMoves(context, client, addresses, shards))]
    const moves = planned.map((move): PlannedMove => ({ ...move, ms: msOf(move.bytes, speed) }))
    return { moves, bytes: moves.reduce((sum, move) => sum + move.bytes, 0), ms: msOfAll(moves) }
  })
}

/** The bytes of one bucket; 0 when there is none. */
export async function measureBucket(context: AdminContext, database: string, group: number, bucket: number): Promise<number> {
  const { catalog, credentials } = context
  const groups = await withAdmin(catalog, database, credentials, readGroups)
  const found = groups.find(({ id }) => id === group)
  const { shards } = await readCluster(catalog, credentials)
  const on = shards.filter(({ id }) => id === found?.owners[bucket])
  return found === undefined ? 0 : (bucketBytes(found.owners, found.tables, await measureLeaves(database, on, context))[bucket] ?? 0)
}

function bucketBytes(owners: Group['owners'], tables: Group['tables'], bytes: LeafBytes): number[] {
  return owners.map((_, bucket) => tables.reduce((sum, { id }) => sum + (bytes.get(leafKey(id, bucket)) ?? 0), 0))
}

async function readGroups(client: pg.Client): Promise<Group[]> {
  const { rows } = await client.query<Group>(
    `SELECT g.id, (SELECT array_agg(b.shard_id ORDER BY b.bucket) FROM pgherd.bucket b WHERE b.group_id = g.id) AS owners,
       (SELECT coalesce(json_agg(json_build_object('id', p.id, 'name', p.oid::regclass::text) ORDER BY p.id), '[]') FROM pgherd.placement p WHERE p.group_id = g.id) AS tables
     FROM pgherd.table_group g ORDER BY g.id`,
  )
  return rows
}
