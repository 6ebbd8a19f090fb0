/** What the servers themselves say of buckets and of what moves have made. */
import type pg from 'pg'
import { leftoversOn } from '../../../integration/move/leftovers.ts'
import type { Server } from '../servers.ts'
import { connect } from '../servers.ts'

async function on<T>(server: Server, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = await connect(server.port)
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/** Transactions of clients are prepared all the time while there is load: those of `before` only count as left. */
export async function leftovers(shards: readonly Server[]): Promise<string[]> {
  return (await Promise.all(shards.map((shard) => on(shard, (client) => leftoversOn(client, shard.name))))).flat()
}

/** Buckets whose leaves are not on exactly the shard that the catalog names, for each table of the group. */
export async function misplacedBuckets(catalog: Server, shards: readonly Server[], group: number): Promise<string[]> {
  const { tables, owners } = await on(catalog, async (client) => {
    const tables = await client.query<{ id: number }>('SELECT id FROM pgherd.placement WHERE group_id = $1', [group])
    const owners = await client.query<{ bucket: number; shard: number }>('SELECT bucket, shard_id AS shard FROM pgherd.bucket WHERE group_id = $1', [group])
    return { tables: tables.rows, owners: owners.rows }
  })
  const expected = new Set(owners.flatMap(({ bucket, shard }) => tables.map(({ id }) => `shard${shard}: t${id}_b${bucket}`)))
  const found = await Promise.all(
    shards.map((shard) =>
      on(shard, async (client) => {
        const { rows } = await client.query<{ leaf: string }>(
          `SELECT c.relname AS leaf FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE c.relnamespace = 'pgherd_data'::regnamespace AND c.relkind = 'r' AND split_part(c.relname, '_', 1) = ANY ($1)`,
          [tables.map(({ id }) => `t${id}`)],
        )
        return rows.map(({ leaf }) => `${shard.name}: ${leaf}`)
      }),
    ),
  )
  const there = new Set(found.flat())
  return [...[...expected].filter((leaf) => !there.has(leaf)).map((leaf) => `missing ${leaf}`), ...[...there].filter((leaf) => !expected.has(leaf)).map((leaf) => `unexpected ${leaf}`)]
}
