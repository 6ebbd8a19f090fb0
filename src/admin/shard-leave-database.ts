/**
 * A shard leaves one database: the reverse of shard-join.ts. Who has not heard of it names markers that are gone, or changes the schema and
 * reads who the members are.
 */
import { SqlError } from '../base/errors.ts'
import { quoteLiteral } from '../base/quote.ts'
import { settleAll } from '../base/settle-all.ts'
import { limits } from '../base/limits.ts'
import { catalogId } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { Lease } from '../coordination/locks.ts'
import { holdMembers } from '../coordination/members.ts'
import type { SchemaChange } from '../executor/schema/schema-change.ts'
import { preparedPrefix } from '../transaction/branch.ts'
import { changeDatabase } from './database-change.ts'
import { assertHeld } from './server-session.ts'
import type { ShardParts } from './shard-parts.ts'
import type { ShardRow } from './shard-record.ts'
import { raiseLayouts, replaceMarkers } from './shard-tables.ts'

/** What of a database is on a shard, as the catalog says. */
const contentQuery = (shard: number) => `
  SELECT format('%s buckets of table group %s', count(*), group_id) FROM pgherd.bucket WHERE shard_id = ${shard} GROUP BY group_id
  UNION ALL SELECT format('table %s', oid::regclass) FROM pgherd.placement WHERE shard_id = ${shard}
  UNION ALL SELECT format('move %s, which is %s', id, stage) FROM pgherd.move WHERE ${shard} IN (source, target) AND stage NOT IN ('done', 'undone')`

/** What moves have left there that is still being cleared. */
const restQuery = (names: string) => `
  SELECT format('table %s', c.oid::regclass) FROM pg_class c WHERE c.relnamespace = 'pgherd_data'::regnamespace AND c.relkind IN ('r', 'p', 'm') AND c.relname ~ '^(t[0-9]+_b[0-9]+|gone[0-9]+_.*|q[0-9]+)$'
  UNION ALL SELECT format('publication %s', pubname) FROM pg_publication WHERE starts_with(pubname, ${names})
  UNION ALL SELECT format('subscription %s', subname) FROM pg_subscription WHERE starts_with(subname, ${names}) AND subdbid = (SELECT oid FROM pg_database WHERE datname = current_database())
  UNION ALL SELECT format('replication slot %s', slot_name) FROM pg_replication_slots WHERE starts_with(slot_name, ${names}) AND database = current_database()`

export async function refuseUnlessEmpty(shard: ShardRow, database: string, { catalog, credentials }: ShardParts): Promise<void> {
  const found = await withAdmin(catalog, database, credentials, async (client) => (await client.query<{ format: string }>(contentQuery(shard.id))).rows)
  if (found.length > 0) throw notEmpty(shard, database, found.map(({ format }) => format))
}

function notEmpty({ name }: ShardRow, database: string, found: readonly string[]): SqlError {
  return new SqlError('55006', `shard "${name}" is not empty: in database "${database}" it has ${found.slice(0, 5).join(', ')}${found.length > 5 ? ', ...' : ''}`, {
    hint: `SELECT pgherd.drain_shard('${name}'), then pgherd.rebalance() in each database moves what it has away; SELECT * FROM pgherd.moves shows how far that is.`,
  })
}

/** Nothing happens when it has left already. */
export async function leaveDatabase(database: string, shard: ShardRow, lease: Lease, parts: ShardParts): Promise<void> {
  await changeDatabase(database, lease, parts, async (change) => {
    const { id } = shard
    const { rows: member } = await change.onCatalog(`SELECT FROM pgherd.member WHERE shard_id = ${id} AND state = 'in'`)
    if (member.length === 0) return
    // No schema changes from here on, and no cut-over: what is found stays so.
    const { rows: found } = await change.onCatalog(contentQuery(id))
    if (found.length > 0) throw notEmpty(shard, database, found.map(([text]) => text ?? ''))
    const { rows: rest } = await change.onShard(id, restQuery(quoteLiteral(`pgherd_${parts.commit.clusterId}_`)))
    if (rest.length > 0) throw new SqlError('55006', `moves have left ${rest[0]?.[0]} on shard "${shard.name}"`, { hint: 'It is being cleared. Try again.' })
    const everyone = [...change.shardIds]
    await raiseLayouts(change)
    await change.reload()
    await replaceMarkers(everyone, change)
    await keepDecisions(id, change)
    await awaitPrepared([catalogId, ...everyone], change, parts)
    await change.onCatalog(holdMembers)
    await change.onCatalog(`UPDATE pgherd.member SET state = 'gone' WHERE shard_id = ${id}; DELETE FROM pgherd.shard_layout WHERE shard_id = ${id}`)
    await change.onCatalog('SELECT pgherd.pass_gate()')
    await assertHeld(lease, parts)
  })
}

/**
 * What the shard has decided is asked for longer than it is there: the catalog keeps it. A transaction that would decide there from now on, whose
 * router has been asleep, fails.
 */
async function keepDecisions(shard: number, change: SchemaChange): Promise<void> {
  await change.onShard(shard, 'LOCK TABLE pgherd.decision IN ACCESS EXCLUSIVE MODE')
  const { rows } = await change.onShard(shard, `SELECT json_agg(d)::text FROM pgherd.decision d`)
  await change.onShard(shard, 'ALTER TABLE pgherd.decision RENAME TO decision_until_removed')
  const decisions = rows[0]?.[0]
  if (decisions === undefined) return
  await change.onCatalog(
    `INSERT INTO pgherd.decision (id, outcome, decided_at, others, asked) SELECT id, outcome, decided_at, others, asked FROM json_populate_recordset(NULL::pgherd.decision, ${quoteLiteral(decisions)}) ON CONFLICT DO NOTHING`,
  )
}

/** Commits that are under way may have the shard among their servers; those that begin now do not. */
async function awaitPrepared(servers: readonly number[], change: SchemaChange, { commit, clock }: ShardParts): Promise<void> {
  const text = `SELECT gid FROM pg_prepared_xacts WHERE database = current_database() AND starts_with(gid, ${quoteLiteral(preparedPrefix(commit.clusterId))})`
  const read = async () => (await settleAll(servers.map(async (server) => (await change.onShard(server, text)).rows.map(([gid]) => `${server} ${gid}`)))).flat()
  const until = clock.ticks() + limits.joinLockMsMax
  for (let left = await read(); left.length > 0; ) {
    if (clock.ticks() > until) throw new SqlError('55P03', 'commits over several servers do not end', { detail: left.join(', '), hint: 'Recovery finishes what a router has left. Try again.' })
    await clock.sleep(limits.finishRetryMsMin)
    const now = new Set(await read())
    left = left.filter((one) => now.has(one))
  }
}
