/** How many bytes each bucket has, by asking the shards: those of its leaves in all tables of its group, without their indexes. */
import { connectionLost } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { dataSchema } from '../catalog/snapshot.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { AdminContext } from './admin-context.ts'

/** By table's number and bucket. */
export type LeafBytes = ReadonlyMap<string, number>

export const leafKey = (table: number, bucket: number) => `${table}/${bucket}`

/** A leaf that a schema change keeps locked for too long makes it fail with 55P03. */
export async function measureLeaves(database: string, shards: readonly ServerAddress[], { credentials }: Pick<AdminContext, 'credentials'>): Promise<LeafBytes> {
  const bytes = new Map<string, number>()
  const ask = (shard: ServerAddress) =>
    withAdmin(shard, database, credentials, async (client) => {
      await client.query(`SET lock_timeout = '${limits.leaseMs}ms'`)
      const { rows } = await client.query<{ table: number; bucket: number; bytes: number }>(
        `SELECT p[1]::int AS table, p[2]::int AS bucket, pg_table_size(c.oid)::float8 AS bytes FROM pg_class c, regexp_match(c.relname, '^t([0-9]+)_b([0-9]+)$') p
         WHERE c.relnamespace = '${dataSchema}'::regnamespace AND c.relkind = 'r' AND c.relispartition AND p IS NOT NULL`,
      )
      return rows
    }).catch((error: Error & { code?: string }) => {
      throw error.code?.length === 5 ? error : connectionLost(shard.name, error.message)
    })
  for (const row of (await Promise.all(shards.map(ask))).flat()) bytes.set(leafKey(row.table, row.bucket), row.bytes)
  return bytes
}
