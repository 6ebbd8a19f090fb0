/**
 * Schema changes: on the shell as they were sent, then on the shards, in one transaction.
 *
 * What a change did is seen by comparing the shell before and after, so that whatever a statement drags along (CASCADE,
 * serial, inherited names) is carried to the shards too. Tables on shards are made from the shell's own definitions.
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { leafName, markerName } from '../../catalog/snapshot.ts'
import { runOnServer, StaleLayout } from '../../executor/run-on-server.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import { asWanted } from '../../executor/schema/choose-placement.ts'
import { addForeignKeys, convert, placeNewTable, reconsider } from '../../executor/schema/place-table.ts'
import { SchemaChange } from '../../executor/schema/schema-change.ts'
import { dropStatements, grantStatements, holders, readDefinition } from '../../executor/schema/table-definition.ts'
import { dropOnly } from '../../planner/edits.ts'
import { statementFacts } from '../../planner/facts.ts'
import { hole, renderTimedText, timeEdits } from '../../planner/rewrite.ts'
import { resolveName } from '../../planner/resolve.ts'
import type { AlterTableStmt, AnyNode, RangeVar } from '../../sql/ast.ts'
import { names, tagOf, walk } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseOne } from '../../sql/parse.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { Session } from '../session.ts'
import { createDatabase, dropDatabase } from './databases.ts'
import { noteFunctions } from './function-notes.ts'
import { createTableAs } from './create-table-as.ts'
import type { Handler } from './run-statement.ts'
import { placementOptions } from './placement-options.ts'

export const runSchemaChange: Handler = async (statement, args, sink, session) => {
  const { node } = statement
  if (session.transaction.readOnlyNow) throw new SqlError('25006', `cannot execute ${commandName(statement)} in a read-only transaction`)
  if (node.CreatedbStmt !== undefined) return createDatabase(statement, session)
  if (node.DropdbStmt !== undefined) return dropDatabase(statement, session)
  if (node.DoStmt !== undefined || node.CallStmt !== undefined) throw refuse('DO and CALL are not supported across shards', 'Send the statements themselves.')
  refuseUnsupported(node)
  if (await isTemporary(node, session)) {
    await refuseTemporaryView(node, session)
    const context = session.executionContext(await session.currentSnapshot())
    const end = await runOnServer(session.services.catalog, { text: statement.source.text, markers: [], writes: false, pins: true, cannotPrepare: true }, args, sink, context)
    await session.refreshTemporary()
    return end
  }
  if (node.CreateTableAsStmt !== undefined || node.SelectStmt?.intoClause !== undefined) return createTableAs(statement, args, sink, session)
  return changeSchema(session, (change) => carry(statement, change, session))
}

/** Runs `work` as a schema change: in the session's transaction, or in one of its own. */
export async function changeSchema(session: Session, work: (change: SchemaChange) => Promise<StatementEnd>): Promise<StatementEnd> {
  const own = !session.transaction.active
  for (let attempt = 0; ; attempt++) {
    if (own) session.transaction.begin('implicit')
    try {
      const context = session.executionContext(await session.currentSnapshot())
      const change = await SchemaChange.begin(context, session.services.store.builtins, (fields) => {
        if (!fields.message.includes('pgherd_')) session.notice(fields.code, fields.message, fields.severity, fields)
      })
      session.schemaChanged = true
      const end = await work(change)
      session.transactionSnapshot = await change.reload()
      if (own) await session.commit()
      return end
    } catch (error) {
      const stale = error instanceof StaleLayout
      if (own && session.transaction.active) await session.rollback()
      if (!stale || attempt > 5 || !own) throw stale ? error.error : error
      await session.services.store.refresh(session.database)
    }
  }
}

export async function reloadTransactionSnapshot(session: Session): Promise<void> {
  const context = session.executionContext(await session.currentSnapshot())
  const change = await SchemaChange.begin({ ...context, snapshot: { ...context.snapshot, version: -1 } }, session.services.store.builtins, () => undefined)
  session.transactionSnapshot = await change.reload()
}

async function carry(statement: Statement, change: SchemaChange, session: Session): Promise<StatementEnd> {
  const before = change.snapshot
  refuseNotedFunctions(statement, before)
  const { shellText, asked } = placementOptions(statement, before)
  const end = await change.onCatalog(shellText)
  const after = await change.reload()
  const notice = (message: string) => session.notice('00000', message)
  await carryObjects(statement, before, after, change, session)
  const created = [...after.relations.values()].filter((relation) => isTable(relation) && !before.relationsByOid.has(relation.oid))
  for (const relation of created) await placeNewTable(relation.oid, asked?.(relation), change, notice)
  await noteFunctions(statement, change)
  return { kind: 'complete', tag: end.tag }
}

/** An operator, aggregate or cast made of a function that touches tables would call it unseen. */
function refuseNotedFunctions({ node }: Statement, snapshot: Snapshot): void {
  if (node.DefineStmt === undefined && node.CreateCastStmt === undefined && node.CreateDomainStmt === undefined) return
  walk({ node }, (tree) => {
    const name = typeof tree.sval === 'string' ? tree.sval : ''
    const noted = snapshot.functions.get(name)?.find((one) => one.touchesTables !== undefined)
    if (noted !== undefined) throw refuse(`cannot use function ${name} here: ${noted.touchesTables}`)
  })
}

const isTable = (relation: Relation) => relation.relkind === 'r' || relation.relkind === 'p'

/** Carries a change of what existed before to the shards. */
async function carryObjects(statement: Statement, before: Snapshot, after: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  const notice = (message: string) => session.notice('00000', message)
  for (const relation of before.relations.values()) {
    const now = after.relationsByOid.get(relation.oid)
    if (relation.table === undefined) continue
    if (now === undefined) {
      await change.onShards(holders(relation, change), dropStatements(relation).join(';\n'))
      await change.onCatalog(`DELETE FROM pgherd.placement WHERE oid = ${relation.oid}`)
    } else await carryName(relation, now, change)
  }
  const { node } = statement
  const tag = tagOf(node)
  if (tag === 'AlterTableStmt') return carryAlterTable(statement, before, change, session, notice)
  if (tag === 'IndexStmt') return carryIndex(node.IndexStmt?.relation as RangeVar, before, change, session, notice)
  if (tag === 'RenameStmt') return carryRename(statement, before, change, session)
  if (tag === 'TruncateStmt') return carryTruncate(statement, before, change, session)
  if (tag === 'GrantStmt' && node.GrantStmt?.objtype === 'OBJECT_TABLE') return carryGrants(node.GrantStmt.objects as AnyNode[], before, change, session)
  if (tag === 'AlterObjectSchemaStmt' && node.AlterObjectSchemaStmt?.relation !== undefined) return // seen by comparing
  if (tag === 'DropStmt') return carryDrop(statement, change)
  if (onShellOnly.has(tag) || tag === 'CreateStmt') return
  await change.onShards(change.shardIds, withSettings(statement.source.text))
}

/** What shards do not have: views are expanded, sequences are the catalog's, comments are for people. */
const onShellOnly = new Set(['ViewStmt', 'CreateSeqStmt', 'AlterSeqStmt', 'CommentStmt', 'RuleStmt', 'CreateStatsStmt', 'SecLabelStmt', 'AlterStatsStmt'])

/** Functions may name tables that a shard does not have. */
function withSettings(text: string): string {
  return `SET LOCAL check_function_bodies = off; ${text}`
}

async function carryName(relation: Relation, now: Relation, change: SchemaChange): Promise<void> {
  const statements: string[] = []
  if (now.name !== relation.name) statements.push(`ALTER TABLE ${qualified(relation.schema, relation.name)} RENAME TO "${now.name.replaceAll('"', '""')}"`)
  if (now.schema !== relation.schema && !(await schemaRenamed(relation.schema, now.schema, change))) {
    statements.push(`ALTER TABLE ${qualified(relation.schema, now.name)} SET SCHEMA "${now.schema.replaceAll('"', '""')}"`)
  }
  if (statements.length > 0) await change.onShards(holders(now, change), statements.join(';\n'))
}

/** ALTER SCHEMA ... RENAME is carried as such. */
async function schemaRenamed(from: string, to: string, change: SchemaChange): Promise<boolean> {
  const [shard] = change.shardIds
  const { rows } = await change.onShard(shard ?? 0, `SELECT nspname FROM pg_namespace WHERE nspname IN (${quoteLiteral(from)}, ${quoteLiteral(to)})`)
  return !rows.some(([name]) => name === to)
}

function targetOf(rangeVar: RangeVar, snapshot: Snapshot, session: Session): Relation | undefined {
  const resolved = resolveName(session.nameContext(snapshot, []), rangeVar.schemaname, rangeVar.relname ?? '')
  return resolved.kind === 'relation' ? resolved.relation : undefined
}

async function carryAlterTable(statement: Statement, before: Snapshot, change: SchemaChange, session: Session, notice: (message: string) => void): Promise<void> {
  const alter = statement.node.AlterTableStmt as AlterTableStmt
  const relation = targetOf(alter.relation as RangeVar, before, session)
  if (relation?.table === undefined) return
  const now = change.snapshot.relationsByOid.get(relation.oid)
  if (now === undefined) return
  const added = now.columns.filter((column) => !relation.columns.some((one) => one.number === column.number))
  if (added.some((column) => column.sequence !== undefined)) {
    await refuseRows(relation, change, 'cannot add a column with a sequence to a table that has rows')
    await rebuild(now, change)
    return
  }
  if (relation.table.kind === 'reference' && added.some((column) => column.default !== undefined && !/^('[^']*'|-?[\d.]+|true|false|NULL)(::[\w ]+)?$/.test(column.default))) {
    throw refuse('cannot add a column with a computed default to a reference table', 'Add it without a default, and fill it.')
  }
  const commands = (alter.cmds ?? []).map((node) => (node as AnyNode).AlterTableCmd)
  if (commands.some((command) => command?.subtype === 'AT_AttachPartition' || command?.subtype === 'AT_DetachPartition') && relation.table.kind !== 'single') {
    throw refuse('cannot attach partitions to a table that is on several shards')
  }
  const onlyShell = commands.every((command) => shellOnlyCommands.has(command?.subtype ?? '') || setsSequence(command?.def as AnyNode | undefined))
  if (await reconsider(now, change, notice)) return
  if (onlyShell) return
  if (commands.every((command) => command?.subtype === 'AT_ChangeOwner')) return carryOwner(now, change)
  const hasForeignKey = commands.some((command) => (command?.def as AnyNode | undefined)?.Constraint?.contype === 'CONSTR_FOREIGN')
  if (hasForeignKey && relation.table.kind === 'distributed') {
    await addForeignKeys([now.oid], change)
    return
  }
  const source = new SourceText(statement.source.text)
  const text = source.edited(dropOnly(source, alter.relation as RangeVar))
  const timed = added.filter((column) => column.default !== undefined && usesTime(column.default, change, session))
  if (timed.length === 0) {
    await change.onShards(holders(now, change), text)
    return
  }
  // The rows that are there get one time on all shards, those to come their own.
  const when = (await change.onCatalog(`SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'`)).rows[0]?.[0] ?? ''
  const { node } = statement
  const once = renderTimedText({ pieces: new SourceText(statement.source.text).edited([...dropOnly(source, alter.relation as RangeVar), ...timeEdits({ source, node })]).split(hole) }, when)
  const later = timed.map((column) => `ALTER TABLE ${qualified(now.schema, now.name)} ALTER COLUMN ${quoteIdent(column.name)} SET DEFAULT ${column.default}`)
  await change.onShards(holders(now, change), [once, ...later].join('; '))
}

function usesTime(expression: string, change: SchemaChange, session: Session): boolean {
  return statementFacts(parseOne(`SELECT ${expression}`), session.nameContext(change.snapshot, [])).usesTime
}

const shellOnlyCommands = new Set(['AT_AddIdentity', 'AT_SetIdentity', 'AT_DropIdentity', 'AT_SetStatistics', 'AT_ClusterOn', 'AT_SetRelOptions', 'AT_ReplicaIdentity'])

/** SET DEFAULT nextval(...): sequences are the catalog's, the router takes their values. */
function setsSequence(def: AnyNode | undefined): boolean {
  return def !== undefined && /"sval":"(nextval)"/.test(JSON.stringify(def))
}

async function refuseRows(relation: Relation, change: SchemaChange, message: string): Promise<void> {
  for (const shard of holders(relation, change)) {
    const { rows } = await change.onShard(shard, `SELECT FROM ${qualified(relation.schema, relation.name)} LIMIT 1`)
    if (rows.length > 0) throw refuse(message, 'Add the column without a default, fill it, then set the default.')
  }
}

/** An empty table is made anew from the shell. */
async function rebuild(relation: Relation, change: SchemaChange): Promise<void> {
  if (relation.table === undefined) return
  const like = asWanted(relation.table)
  await convert([{ relation, wanted: like.kind === 'single' ? { ...like, reason: undefined } : like }], relation.table.byDefault, change)
}

async function carryIndex(rangeVar: RangeVar, before: Snapshot, change: SchemaChange, session: Session, notice: (message: string) => void): Promise<void> {
  const relation = targetOf(rangeVar, before, session)
  const now = relation === undefined ? undefined : change.snapshot.relationsByOid.get(relation.oid)
  if (now?.table === undefined) return
  if (await reconsider(now, change, notice)) return
  const definition = await readDefinition(change, now.oid)
  for (const index of definition.indexes) {
    if (before.relations.has(`${now.schema}\0${index.name}`)) continue
    await change.onShards(holders(now, change), index.definition.replace(/ ON ONLY /, ' ON '))
  }
}

async function carryRename(statement: Statement, before: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  const rename = statement.node.RenameStmt
  const kind = rename?.renameType
  if (kind === 'OBJECT_TABLE' || kind === 'OBJECT_VIEW' || kind === 'OBJECT_SEQUENCE') return // seen by comparing
  if (kind === 'OBJECT_COLUMN' || kind === 'OBJECT_TABCONSTRAINT') {
    const relation = rename?.relation === undefined ? undefined : targetOf(rename.relation, before, session)
    if (relation?.table === undefined) return
    const source = new SourceText(statement.source.text)
    await change.onShards(holders(relation, change), source.edited(dropOnly(source, rename?.relation as RangeVar)))
    if (relation.table.keyColumn === rename?.subname) {
      await change.onCatalog(`UPDATE pgherd.placement SET key_column = ${quoteLiteral(rename?.newname ?? '')} WHERE oid = ${relation.oid}`)
    }
    return
  }
  if (kind === 'OBJECT_INDEX') {
    await change.onShards(change.shardIds, ifExists(statement.source.text, /^(\s*alter\s+index\s+)(?!if\s)/i))
    return
  }
  await change.onShards(change.shardIds, statement.source.text)
}

const ifExists = (text: string, pattern: RegExp) => text.replace(pattern, '$1IF EXISTS ')

async function carryTruncate(statement: Statement, before: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  const truncate = statement.node.TruncateStmt
  const relations = (truncate?.relations ?? []).flatMap((node) => targetOf((node as AnyNode).RangeVar as RangeVar, before, session) ?? [])
  const cascade = truncate?.behavior === 'DROP_CASCADE' ? ' CASCADE' : ''
  for (const shard of change.shardIds) {
    const here = relations.filter((relation) => holders(relation, change).includes(shard))
    if (here.length > 0) await change.onShard(shard, `TRUNCATE ${here.map((one) => qualified(one.schema, one.name)).join(', ')}${cascade}`)
  }
}

async function carryGrants(objects: readonly AnyNode[], before: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  for (const object of objects) {
    const relation = object.RangeVar === undefined ? undefined : targetOf(object.RangeVar as RangeVar, before, session)
    if (relation?.table === undefined) continue
    const definition = await readDefinition(change, relation.oid)
    const group = change.snapshot.groups.get(relation.table.group ?? 0)
    const leaves = (shard: number) =>
      (group?.owners ?? []).flatMap((owner, bucket) => (owner === shard ? [`pgherd_data.t${relation.table?.id}_b${bucket}`] : []))
    for (const shard of holders(relation, change)) {
      const all = [qualified(relation.schema, relation.name), ...(relation.table.kind === 'distributed' ? leaves(shard) : [])]
      const { rows } = await change.onShard(shard, granteesQuery(qualified(relation.schema, relation.name)))
      const revokes = all.flatMap((name) => rows.map(([grantee]) => `REVOKE ALL ON ${name} FROM ${grantee}`))
      await change.onShard(shard, [...revokes, ...grantStatements(relation, definition, group, shard)].join(';\n'))
    }
  }
}

/** Everybody who has been granted something on a table or its columns, but its owner. */
function granteesQuery(name: string): string {
  const table = `${quoteLiteral(name)}::regclass`
  return `SELECT DISTINCT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END
    FROM pg_class c, LATERAL (SELECT * FROM aclexplode(c.relacl)
      UNION ALL SELECT e.* FROM pg_attribute a, aclexplode(a.attacl) e WHERE a.attrelid = c.oid) x
    WHERE c.oid = ${table} AND x.grantee <> c.relowner`
}

/** The owner of a table owns its leaves and marker too: later changes come from that role. */
async function carryOwner(relation: Relation, change: SchemaChange): Promise<void> {
  const { table } = relation
  if (table === undefined) return
  const { owner } = await readDefinition(change, relation.oid)
  const group = change.snapshot.groups.get(table.group ?? 0)
  for (const shard of holders(relation, change)) {
    const leaves = table.kind !== 'distributed' ? [] : (group?.owners ?? []).flatMap((id, bucket) => (id === shard ? [leafName(table.id, bucket)] : []))
    const all = [qualified(relation.schema, relation.name), markerName(table), ...leaves]
    await change.onShard(shard, all.map((name) => `ALTER TABLE ${name} OWNER TO ${quoteIdent(owner)}`).join('; '))
  }
}

async function carryDrop(statement: Statement, change: SchemaChange): Promise<void> {
  const drop = statement.node.DropStmt
  switch (drop?.removeType) {
    case 'OBJECT_TABLE':
    case 'OBJECT_VIEW':
    case 'OBJECT_SEQUENCE':
    case 'OBJECT_TRIGGER':
    case 'OBJECT_RULE':
    case 'OBJECT_STATISTIC_EXT':
      return
    case 'OBJECT_INDEX':
      await change.onShards(change.shardIds, ifExists(statement.source.text.replace(/\bconcurrently\b/i, ''), /^(\s*drop\s+index\s+)(?!if\s)/i))
      return
    default:
      await change.onShards(change.shardIds, statement.source.text)
  }
}

function refuseUnsupported(node: AnyNode): void {
  const hint = 'See docs/sql-support.md.'
  const alter = node.AlterTableStmt as AlterTableStmt | undefined
  for (const command of alter?.cmds ?? []) {
    const type = (command as AnyNode).AlterTableCmd?.subtype ?? ''
    if (/RowSecurity/.test(type)) throw refuse('row-level security is not supported', hint)
  }
  if (node.CreateStmt?.inhRelations !== undefined && node.CreateStmt.partbound === undefined) throw refuse('table inheritance is not supported', 'Declare partitions, or separate tables.')
  if (node.CreateTrigStmt !== undefined) throw refuse('triggers are not supported yet', 'A trigger may read or write tables, which on a shard are not whole.')
  if (node.CreatePolicyStmt !== undefined) throw refuse('row-level security is not supported', hint)
  if (node.RuleStmt !== undefined) throw refuse('rules are not supported', hint)
  if (node.CreatePublicationStmt !== undefined || node.CreateSubscriptionStmt !== undefined) throw refuse('publications and subscriptions are not supported', hint)
  if (node.CreateForeignTableStmt !== undefined) throw refuse('foreign tables are not supported', hint)
  if (node.RefreshMatViewStmt !== undefined) throw refuse('materialized views are not supported', hint)
  if (node.CreateTableAsStmt?.objtype === 'OBJECT_MATVIEW') throw refuse('materialized views are not supported', hint)
  if (node.CreateEventTrigStmt !== undefined) throw refuse('event triggers are not supported', hint)
  if (node.AlterSystemStmt !== undefined) throw refuse('ALTER SYSTEM is not supported', 'Change the settings of each server.')
}

/** A new temporary object, or a change of one that the session has. */
async function isTemporary(node: AnyNode, session: Session): Promise<boolean> {
  const into = node.CreateTableAsStmt?.into ?? node.SelectStmt?.intoClause
  const created = node.CreateStmt?.relation ?? node.ViewStmt?.view ?? node.CreateSeqStmt?.sequence ?? into?.rel
  if (created !== undefined && (created.relpersistence === 't' || created.schemaname === 'pg_temp')) {
    if (into === undefined) return true
    return false
  }
  let touches = false
  if (session.temporary.size > 0 && created === undefined) {
    walk(node, (tree) => {
      if (typeof tree.relname === 'string' && tree.schemaname === undefined && session.temporary.has(tree.relname)) touches = true
    })
    for (const object of node.DropStmt?.objects ?? []) {
      const parts = names((object as AnyNode).List?.items as AnyNode[] | undefined)
      if (parts.length === 1 && session.temporary.has(parts[0] ?? '')) touches = true
      if (parts[0] === 'pg_temp') touches = true
    }
  }
  return touches
}

/** A view finds its tables once, when it is made: on the shell, where they are empty. */
async function refuseTemporaryView(node: AnyNode, session: Session): Promise<void> {
  const query = node.ViewStmt?.query as AnyNode | undefined
  if (query === undefined) return
  const { tables } = statementFacts(query, session.nameContext(await session.currentSnapshot(), []))
  if (tables.length > 0) throw refuse('a temporary view over tables on shards is not supported', 'Make the view a permanent one.')
}

function commandName(statement: Statement): string {
  return statement.source.text.trim().split(/\s+/).slice(0, 2).join(' ').toUpperCase()
}
