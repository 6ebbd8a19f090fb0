/** ALTER TABLE on the shards: by its own text where that means the same on a partitioned table, else the table is made anew. */
import { refuse } from '../../base/errors.ts'
import { qualified, quoteIdent } from '../../base/quote.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { asWanted } from '../../executor/schema/choose-placement.ts'
import { addForeignKeys, convert, reconsider } from '../../executor/schema/place-table.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { holders } from '../../executor/schema/table-definition.ts'
import { dropOnly } from '../../planner/edits.ts'
import { statementFacts } from '../../planner/facts.ts'
import { hole, renderTimedText, timeEdits } from '../../planner/rewrite.ts'
import type { AlterTableStmt, AnyNode, RangeVar } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseOne } from '../../sql/parse.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { Session } from '../session.ts'
import { carryOwner } from './carry-grants.ts'
import { targetOf } from './target.ts'

export async function carryAlterTable(statement: Statement, before: Snapshot, change: SchemaChange, session: Session, notice: (message: string) => void): Promise<void> {
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
