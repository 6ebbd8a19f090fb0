/**
 * CREATE INDEX CONCURRENTLY: rows go on being written while the index is built, as on one PostgreSQL.
 *
 * Words: a *part* is the index of one leaf, or of a table that is whole on its shard, under a name of its own
 * (coordination/index-changes.ts). Main loop: the shell judges the statement and takes it back; every server builds its parts, by
 * PostgreSQL's own CREATE INDEX CONCURRENTLY; then one transaction makes the index on all servers, of parts that are all there.
 * Where a partitioned table gets an index, PostgreSQL takes its leaves' equal ones instead of building any.
 *
 * A build that fails leaves no index, not even an invalid one: parts that no index was made of are dropped.
 */
import { SqlError } from '../../base/errors.ts'
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import { catalogId } from '../../catalog/server-address.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { dataSchema, relationKey } from '../../catalog/snapshot.ts'
import { asIndexChange, recoverIndexChanges } from '../../coordination/index-changes.ts'
import { serverById } from '../../executor/context.ts'
import { lockBriefly } from '../../executor/schema/brief-lock.ts'
import { staysPlaced } from '../../executor/schema/place-table.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { holders, leavesOn } from '../../executor/schema/table-definition.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import { query } from '../../shard/query.ts'
import type { RangeVar } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Session } from '../session.ts'
import { carry } from './carry.ts'
import { changeGently } from './change-gently.ts'
import { changeSchema } from './change-schema.ts'
import { placementOptions } from './placement-options.ts'
import { targetOf } from './target.ts'

interface NewIndex {
  readonly name: string
  readonly unique: boolean
  /** Its definition from USING on. */
  readonly rest: string
}

interface Judged {
  readonly relation: Relation
  readonly snapshot: Snapshot
  readonly index: NewIndex
}

interface Part {
  readonly server: number
  readonly table: string
  readonly name: string
}

export async function createIndexConcurrently(statement: Statement, session: Session): Promise<StatementEnd> {
  const judged = await judge(statement, session)
  if (judged === undefined) return changeSchema(session, (change) => carry(statement, change, session))
  const { databases } = session.services
  return asIndexChange(session.database, databases, async (prefix) => {
    const parts = await build(judged, prefix, session)
    // What an earlier build has left must not be taken for this one's. Nobody who was there before it ended is there any more.
    await recoverIndexChanges(databases, undefined)
    return changeGently(session, (change, waitMs) => finish(judged, parts, prefix, waitMs, statement, change))
  })
}

const changed = (relation: Relation) =>
  new SqlError('55006', `table "${relation.name}" was changed while its index was built`, { hint: 'Create the index again.' })

/**
 * Undefined where nothing can be built beside writes: an error, an index that is there, a table that has to be moved for it, a
 * reference table (its writers lock it, one after the other, as PostgreSQL's builder does).
 */
async function judge(statement: Statement, session: Session): Promise<Judged | undefined> {
  const verdict: { judged: Judged | undefined } = { judged: undefined }
  const takeBack = new Error('taken back')
  try {
    await changeSchema(session, async (change) => {
      verdict.judged = await judgeInside(statement, change, session)
      throw takeBack
    })
  } catch (error) {
    if (error !== takeBack) throw error
  }
  return verdict.judged
}

async function judgeInside(statement: Statement, change: SchemaChange, session: Session): Promise<Judged | undefined> {
  const { snapshot } = change
  const relation = targetOf(statement.node.IndexStmt?.relation as RangeVar, snapshot, session)
  if (relation?.table === undefined || relation.table.kind === 'reference' || relation.relkind !== 'r') return undefined
  await change.onCatalog(placementOptions(statement, snapshot).shellText, () => undefined)
  await change.reload()
  const index = await newIndex(relation, snapshot, change)
  return index !== undefined && (await staysPlaced(relation, change)) ? { relation, snapshot, index } : undefined
}

const describe = `SELECT json_build_object('name', i.relname, 'unique', x.indisunique, 'rest', substr(pg_get_indexdef(i.oid),
    length(format('CREATE %sINDEX %I ON %I.%I ', CASE WHEN x.indisunique THEN 'UNIQUE ' ELSE '' END, i.relname, n.nspname, t.relname)) + 1)) AS described
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid JOIN pg_namespace n ON n.oid = t.relnamespace`

/** The index that the shell's table has and had not before. */
async function newIndex(relation: Relation, before: Snapshot, change: SchemaChange): Promise<NewIndex | undefined> {
  const all = await change.askJson<NewIndex[]>(`SELECT coalesce(json_agg(described), '[]') FROM (${describe} WHERE t.oid = ${relation.oid}) d`)
  return all.find((index) => !before.relations.has(relationKey(relation.schema, index.name)))
}

async function build({ relation, snapshot, index }: Judged, prefix: string, session: Session): Promise<Part[]> {
  const { table } = relation
  const { name, unique, rest } = index
  const servers = table?.kind === 'single' ? [table.shard ?? 0] : snapshot.shards.map((shard) => shard.id)
  const failures: unknown[] = []
  const perServer = await Promise.all(
    servers.map(async (server) => {
      const tables = table?.kind === 'distributed' ? leavesOn(relation, snapshot, server) : [qualified(relation.schema, relation.name)]
      const here = tables.map((one): Part => ({ server, table: one, name: prefix + (table?.kind === 'distributed' ? one.slice(dataSchema.length + 1) : 'whole') }))
      for (const part of here) {
        if (failures.length > 0) break
        const text = `CREATE ${unique ? 'UNIQUE ' : ''}INDEX CONCURRENTLY ${part.name} ON ${part.table} ${rest}`
        await buildPart(part, text, name, snapshot, session).catch((error: unknown) => {
          // The others need not go on; that they were cancelled is not what went wrong.
          if (failures.push(error) === 1) session.transaction.cancelRunning()
        })
      }
      return here
    }),
  )
  if (failures.length > 0) throw failures[0]
  return perServer.flat()
}

/** Outside any transaction, with the session's role and settings; a cancel request of the client finds it. */
async function buildPart(part: Part, text: string, index: string, snapshot: Snapshot, session: Session): Promise<void> {
  const context = session.executionContext(snapshot)
  const server = serverById(context, part.server)
  const lease = await session.transaction.lease(server)
  try {
    await query(lease.connection, text)
  } catch (error) {
    if (!(error instanceof SqlError)) throw error
    const { fields } = await context.names.translateError(error, server, snapshot, context.user)
    const renamed = (given: string | undefined) => given?.replaceAll(part.name, index)
    throw new SqlError(fields.code, renamed(fields.message) ?? '', { ...fields, constraint: renamed(fields.constraint), position: undefined })
  } finally {
    session.transaction.release(lease)
  }
}

/** One transaction: after it the index is there on all servers, or nothing has happened. */
async function finish(
  { relation, snapshot, index }: Judged,
  parts: readonly Part[],
  prefix: string,
  waitMs: number,
  statement: Statement,
  change: SchemaChange,
): Promise<StatementEnd> {
  const before = change.snapshot
  const now = before.relationsByOid.get(relation.oid)
  if (now === undefined || !isPlacedTheSame(relation, snapshot, now, before)) throw changed(relation)
  const table = qualified(now.schema, now.name)
  const shards = now.table?.kind === 'distributed' ? holders(now, change) : []
  const locks = [catalogId, ...shards].map((server) => ({ server, table, mode: 'SHARE' as const }))
  await lockBriefly(locks, waitMs, change)
  const servers = [...new Set(parts.map((part) => part.server))]
  for (const server of servers) await checkParts(parts.filter((part) => part.server === server), server, relation, change)
  const end = { kind: 'complete', tag: 'CREATE INDEX' } as const
  await change.onCatalog(placementOptions(statement, before).shellText)
  await change.reload()
  const made = await newIndex(now, before, change)
  if (made === undefined) return end // IF NOT EXISTS, and by now it does
  if (made.unique !== index.unique || made.rest !== index.rest) throw changed(relation)
  if (shards.length === 0) await change.onShards(servers, `ALTER INDEX ${qualified(now.schema, parts[0]?.name ?? '')} RENAME TO ${quoteIdent(made.name)}`)
  else await change.onShards(shards, `CREATE ${made.unique ? 'UNIQUE ' : ''}INDEX ${quoteIdent(made.name)} ON ${table} ${made.rest}`)
  for (const shard of shards) await checkMade(qualified(now.schema, made.name), prefix, parts.filter((part) => part.server === shard).length, shard, relation, change)
  return end
}

function isPlacedTheSame(then: Relation, thenIn: Snapshot, now: Relation, nowIn: Snapshot): boolean {
  const [a, b] = [then.table, now.table]
  if (a === undefined || b === undefined || a.id !== b.id || a.kind !== b.kind || a.layout !== b.layout || a.shard !== b.shard || a.group !== b.group) return false
  const owners = (snapshot: Snapshot) => snapshot.groups.get(a.group ?? 0)?.owners.join() ?? ''
  return owners(thenIn) === owners(nowIn)
}

/** All parts are on the server, and whole. */
async function checkParts(parts: readonly Part[], server: number, relation: Relation, change: SchemaChange): Promise<void> {
  const list = parts.map((part) => quoteLiteral(part.name)).join(', ')
  const { rows } = await change.onShard(
    server,
    `SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid WHERE c.relname IN (${list}) AND x.indisvalid
       AND NOT EXISTS (SELECT FROM pg_inherits h WHERE h.inhrelid = c.oid)`,
  )
  if (Number(rows[0]?.[0]) !== parts.length) throw changed(relation)
}

/** The index was made of this build's parts, all of them. */
async function checkMade(index: string, prefix: string, parts: number, server: number, relation: Relation, change: SchemaChange): Promise<void> {
  const { rows } = await change.onShard(
    server,
    `SELECT x.indisvalid, (SELECT count(*) FROM pg_inherits h JOIN pg_class c ON c.oid = h.inhrelid WHERE h.inhparent = x.indexrelid AND starts_with(c.relname, ${quoteLiteral(prefix)}))
     FROM pg_index x WHERE x.indexrelid = ${quoteLiteral(index)}::regclass`,
  )
  const [isValid, taken] = rows[0] ?? []
  if (isValid !== 't' || Number(taken) !== parts) throw changed(relation)
}
