/** Single tables have to leave shards that are to be emptied. Elsewhere they stay where they are. */
import type pg from 'pg'
import { proposeShard } from '../catalog/ring.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { SingleTable } from '../rebalance/single-tables.ts'
import { readUnit, unitsOn } from '../rebalance/single-tables.ts'
import type { AdminContext } from './admin-context.ts'

export interface TableMove {
  readonly group: undefined
  readonly bucket: undefined
  /** One of them, by its number in pgherd.placement. */
  readonly table: number
  /** All that move with it, by name. */
  readonly tables: readonly string[]
  readonly source: number
  readonly target: number
  readonly bytes: number
}

/** Those of the shards that are not in `active`; none when there is no shard that could take any. `client` is one of the database on the catalog. */
export async function planTableMoves(context: AdminContext, client: pg.Client, shards: readonly ServerAddress[], active: readonly number[]): Promise<TableMove[]> {
  const moves: TableMove[] = []
  if (active.length === 0) return moves
  for (const shard of shards) {
    if (active.includes(shard.id)) continue
    for (const { table, tables } of await unitsOn(client, shard.id)) {
      const [first] = tables
      if (first === undefined) continue
      const target = proposeShard(`${first.schema}.${first.name}`, active)
      const bytes = await bytesOf(context, client.database ?? '', shard, tables)
      moves.push({ group: undefined, bucket: undefined, table, tables: tables.map(({ text }) => text), source: shard.id, target, bytes })
    }
  }
  return moves
}

/** A single table's, and of those that move with it; 0 when it is none. */
export async function measureTable(context: AdminContext, client: pg.Client, shards: readonly ServerAddress[], table: number): Promise<number> {
  const tables = await readUnit(client, table)
  const shard = shards.find(({ id }) => id === tables[0]?.shard)
  return shard === undefined ? 0 : bytesOf(context, client.database ?? '', shard, tables)
}

async function bytesOf({ credentials }: AdminContext, database: string, shard: ServerAddress, tables: readonly SingleTable[]): Promise<number> {
  return withAdmin(shard, database, credentials, async (client) => {
    const { rows } = await client.query<{ bytes: number }>('SELECT coalesce(sum(pg_table_size(to_regclass(name))), 0)::float8 AS bytes FROM unnest($1::text[]) name', [tables.map(({ text }) => text)])
    return rows[0]?.bytes ?? 0
  })
}
