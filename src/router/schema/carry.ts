/**
 * Carries a schema change from the shell to the shards.
 *
 * What a change did to tables is seen by comparing the shell before and after, so that whatever a statement drags along
 * (CASCADE, serial, inherited names) is carried too. Tables on shards are made from the shell's own definitions.
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { settleAll } from '../../base/settle-all.ts'
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { relationKey } from '../../catalog/snapshot.ts'
import { placeNewTable } from '../../executor/schema/place-table.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { lockTable, lockTableOf } from '../../executor/schema/table-lock.ts'
import { dropStatements, holders } from '../../executor/schema/table-definition.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import { checkGlobalsMayChange } from '../../coordination/members.ts'
import type { AnyNode, RangeVar } from '../../sql/ast.ts'
import { tagOf, walk } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import type { Session } from '../session.ts'
import { carryAlterTable } from './carry-alter-table.ts'
import { carryDrop } from './carry-drop.ts'
import { carryGrants } from './carry-grants.ts'
import { carryIndex } from './carry-index.ts'
import { carryRename } from './carry-rename.ts'
import { carryTruncate } from './carry-truncate.ts'
import { noteFunctions } from './function-notes.ts'
import { carryFunction } from './carry-function.ts'
import { targetOf } from './target.ts'
import { carryTrigger, checkTriggers } from './triggers.ts'
import { placementOptions } from './placement-options.ts'

export async function carry(statement: Statement, change: SchemaChange, session: Session): Promise<StatementEnd> {
  const before = change.snapshot
  refuseNotedFunctions(statement, before)
  const { shellText, asked } = placementOptions(statement, before)
  if (isGlobal(statement.node)) await holdGlobals(change, session)
  const end = await change.onCatalog(shellText)
  const after = await change.reload()
  const notice = (message: string) => session.notice('00000', message)
  await carryObjects(statement, before, after, change, session)
  if (statement.node.IndexStmt !== undefined || statement.node.AlterTableStmt !== undefined) await refuseUnfinished(change)
  const created = [...after.relations.values()].filter((relation) => isTable(relation) && !before.relationsByOid.has(relation.oid))
  for (const relation of created) await placeNewTable(relation.oid, asked?.(relation), change, notice)
  await noteFunctions(statement, change)
  if ([...change.snapshot.relations.values()].some((relation) => relation.triggers.length > 0)) {
    await change.reload()
    await checkTriggers(change)
  }
  return { kind: 'complete', tag: end.tag }
}

/** PostgreSQL takes equal indexes of leaves for parts of a new one, even one whose building has failed. */
async function refuseUnfinished(change: SchemaChange): Promise<void> {
  const text = `SELECT FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid JOIN pg_class c ON c.oid = i.inhrelid WHERE starts_with(c.relname, 'pgherd_c') AND NOT x.indisvalid LIMIT 1`
  const found = await settleAll(change.shardIds.map((shard) => change.onShard(shard, text)))
  if (!found.some(({ rows }) => rows.length > 0)) return
  throw new SqlError('55006', 'what an index build that failed has left is not removed yet', { hint: 'Try again. Transactions that are open on the table keep it from being removed.' })
}

/** Changes what all databases of a server share: before anything else, so that a shard that joins is waited for, or waits. */
async function holdGlobals(change: SchemaChange, session: Session): Promise<void> {
  await change.onCatalog('SELECT pgherd.change_globals()')
  const { catalog, credentials } = session.services
  await checkGlobalsMayChange(catalog, credentials)
}

const globalStatements = new Set(['CreateRoleStmt', 'AlterRoleStmt', 'AlterRoleSetStmt', 'DropRoleStmt', 'GrantRoleStmt', 'AlterDatabaseStmt', 'AlterDatabaseSetStmt', 'AlterDatabaseRefreshCollStmt'])

function isGlobal(node: AnyNode): boolean {
  const kind = node.RenameStmt?.renameType ?? node.AlterOwnerStmt?.objectType ?? node.GrantStmt?.objtype ?? ''
  return globalStatements.has(tagOf(node)) || /^OBJECT_(ROLE|DATABASE|PARAMETER_ACL)$/.test(String(kind))
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

const isIndex = (relation: Relation) => relation.relkind === 'i' || relation.relkind === 'I'

const isTable = (relation: Relation) => relation.relkind === 'r' || relation.relkind === 'p'

/** Carries a change of what existed before to the shards. */
async function carryObjects(statement: Statement, before: Snapshot, after: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  for (const relation of before.relations.values()) {
    const now = after.relationsByOid.get(relation.oid)
    if (relation.table === undefined) continue
    if (now === undefined) {
      await lockTable(relation, change)
      const group = before.groups.get(relation.table.group ?? 0)
      await settleAll(holders(relation, change).map((shard) => change.onShard(shard, dropStatements(relation, group, shard).join(';\n'))))
      await change.onCatalog(`DELETE FROM pgherd.placement WHERE oid = ${relation.oid}`)
    } else await carryName(relation, now, change)
  }
  await carryStatement(statement, before, change, session)
  // Last: until the statement has run on a shard, an index may be a constraint's.
  for (const relation of before.relations.values()) if (isIndex(relation)) await carryIndexName(relation, after, change)
}

async function carryStatement(statement: Statement, before: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  const notice = (message: string) => session.notice('00000', message)
  const { node } = statement
  const tag = tagOf(node)
  if (tag === 'AlterTableStmt') return carryAlterTable(statement, before, change, session, notice)
  if (tag === 'IndexStmt') return carryIndex(node.IndexStmt?.relation as RangeVar, before, change, session, notice)
  if (tag === 'RenameStmt') return carryRename(statement, before, change, session)
  if (tag === 'CreateTrigStmt') {
    const relation = targetOf(node.CreateTrigStmt?.relation as RangeVar, before, session)
    if (relation?.table !== undefined) await carryTrigger(relation, node.CreateTrigStmt?.trigname ?? '', change)
    return
  }
  if (tag === 'CreateFunctionStmt') return carryFunction(statement, change)
  if (tag === 'TruncateStmt') return carryTruncate(statement, before, change, session)
  if (tag === 'GrantStmt' && node.GrantStmt?.objtype === 'OBJECT_SEQUENCE') return // sequences are the catalog's
  if (tag === 'GrantStmt' && node.GrantStmt?.objtype === 'OBJECT_TABLE') return carryGrants(node.GrantStmt, before, change, session)
  if (tag === 'AlterObjectSchemaStmt' && node.AlterObjectSchemaStmt?.relation !== undefined) return // seen by comparing
  if (tag === 'DropStmt') return carryDrop(statement, change, session)
  if (onShellOnly.has(tag) || tag === 'CreateStmt') return
  if ((node.AlterObjectSchemaStmt ?? node.AlterOwnerStmt)?.objectType === 'OBJECT_STATISTIC_EXT') return
  await change.onShards(change.shardIds, withSettings(statement.source.text))
}

/** By its full name: on a shard without the index, the session's search_path might find another. */
async function carryIndexName(index: Relation, after: Snapshot, change: SchemaChange): Promise<void> {
  const now = after.relationsByOid.get(index.oid)
  if (now === undefined && after.relations.has(relationKey(index.schema, index.name))) return // PostgreSQL made it anew
  const name = qualified(index.schema, index.name)
  if (now === undefined) await lockTableOf(name, change)
  if (now === undefined) await change.onShards(change.shardIds, `DROP INDEX IF EXISTS ${name}`)
  else if (now.name !== index.name) await change.onShards(change.shardIds, `ALTER INDEX IF EXISTS ${name} RENAME TO ${quoteIdent(now.name)}`)
}

/** What shards do not have: views are expanded, sequences are the catalog's, comments are for people. */
const onShellOnly = new Set(['ViewStmt', 'CreateSeqStmt', 'AlterSeqStmt', 'CommentStmt', 'RuleStmt', 'CreateStatsStmt', 'SecLabelStmt', 'AlterStatsStmt'])

/** Functions may name tables that a shard does not have. */
function withSettings(text: string): string {
  return `SET LOCAL check_function_bodies = off; ${text}`
}

const alterable = (relation: Relation) => (relation.relkind === 'm' ? 'MATERIALIZED VIEW' : 'TABLE')

async function carryName(relation: Relation, now: Relation, change: SchemaChange): Promise<void> {
  const statements: string[] = []
  if (now.name !== relation.name) statements.push(`ALTER ${alterable(relation)} ${qualified(relation.schema, relation.name)} RENAME TO ${quoteIdent(now.name)}`)
  if (now.schema !== relation.schema && !(await schemaRenamed(relation.schema, now.schema, change))) {
    statements.push(`ALTER ${alterable(relation)} ${qualified(relation.schema, now.name)} SET SCHEMA ${quoteIdent(now.schema)}`)
  }
  if (statements.length > 0) await lockTable(relation, change)
  if (statements.length > 0) await change.onShards(holders(now, change), statements.join(';\n'))
}

/** ALTER SCHEMA ... RENAME is carried as such. */
async function schemaRenamed(from: string, to: string, change: SchemaChange): Promise<boolean> {
  const [shard] = change.shardIds
  const { rows } = await change.onShard(shard ?? 0, `SELECT nspname FROM pg_namespace WHERE nspname IN (${quoteLiteral(from)}, ${quoteLiteral(to)})`)
  return !rows.some(([name]) => name === to)
}
