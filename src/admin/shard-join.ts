/**
 * A shard joins one database, in one transaction over all servers: the tables come to the shard, and its row to pgherd.member.
 *
 * Whoever can see that row can see all the rest. Whoever has not seen it, because its router has heard of nothing, is refused by data that the
 * same transaction has changed: the version of the schema, the markers of reference tables, and under the catalog's gate the row itself.
 */
import { SqlError } from '../base/errors.ts'
import { quoteLiteral } from '../base/quote.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { Lease } from '../coordination/locks.ts'
import { holdMembers } from '../coordination/members.ts'
import type { SchemaChange } from '../executor/schema/schema-change.ts'
import { changeDatabase } from './database-change.ts'
import { assertHeld } from './server-session.ts'
import { compareObjects, compareTables } from './shard-compare.ts'
import { copyDefaultPrivileges, copyObjects } from './shard-objects.ts'
import type { ShardParts } from './shard-parts.ts'
import { copyTables, raiseLayouts, replaceMarkers, tablesEverywhere } from './shard-tables.ts'

/** Nothing happens when it is a member already. Throws 55000 when it was given up. */
export async function joinDatabase(database: string, shard: number, lease: Lease, parts: ShardParts): Promise<void> {
  await changeDatabase(database, lease, parts, async (change) => {
    const { rows } = await change.onCatalog(`SELECT state FROM pgherd.member WHERE shard_id = ${shard}`)
    const state = rows[0]?.[0]
    if (state === 'in') return
    if (state === 'gone') throw new SqlError('55000', `shard ${shard} has been given up`)
    const others = change.shardIds
    const [source] = others
    if (source === undefined) throw new SqlError('55000', `database "${database}" is on no shard`)
    await raiseLayouts(change)
    await change.onCatalog(`INSERT INTO pgherd.member (shard_id) VALUES (${shard})`)
    await change.reload()
    await parts.onStep?.(`objects of ${database}`)
    await copyObjects(source, shard, change)
    await parts.onStep?.(`tables of ${database}`)
    await copyTables(shard, change)
    await copyDefaultPrivileges(source, shard, change)
    await compareObjects(source, shard, change)
    await compareTables(tablesEverywhere(change), shard, change)
    await parts.onStep?.(`markers of ${database}`)
    await replaceMarkers(others, change)
    await change.onCatalog(holdMembers)
    await copyRefusals([catalogId, ...others], shard, change)
    // Who reads several servers at one moment without this one has done so when this is passed; who comes later finds the row.
    await change.onCatalog('SELECT pgherd.pass_gate()')
    // Just before: what makes it right is the row that is put in place of this one's when the shard is given up (shard-leave.ts).
    await assertHeld(lease, parts)
    await parts.onStep?.(`commit of ${database}`)
  })
}

/** Who was told that a transaction will never have happened was told so for all servers. */
async function copyRefusals(servers: readonly number[], shard: number, change: SchemaChange): Promise<void> {
  for (const server of servers) {
    const { rows } = await change.onShard(server, `SELECT id FROM pgherd.decision WHERE outcome = 'aborted'`)
    if (rows.length === 0) continue
    await change.onShard(shard, `INSERT INTO pgherd.decision (id, outcome) SELECT unnest(${quoteLiteral(`{${rows.map(([id]) => id).join(',')}}`)}::text[]), 'aborted' ON CONFLICT DO NOTHING`)
  }
}
