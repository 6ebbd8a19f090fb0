/**
 * ALTER TABLE on the shards: each sub-command by its own text where that means the same there. What a partitioned table cannot
 * do (another type for its key) is done by making the table anew, with its rows.
 */
import { refuse } from '../../base/errors.ts'
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { asWanted, keyTypeOf } from '../../executor/schema/choose-placement.ts'
import { addForeignKeys, convert, reconsider } from '../../executor/schema/place-table.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { lockTable } from '../../executor/schema/table-lock.ts'
import type { TableDefinition } from '../../executor/schema/table-definition.ts'
import { columnText, holders, leavesOn, readDefinition } from '../../executor/schema/table-definition.ts'
import { statementFacts } from '../../planner/facts.ts'
import { hole, renderTimedText, timeEdits } from '../../planner/rewrite.ts'
import type { AlterTableStmt, RangeVar } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseOne } from '../../sql/parse.ts'
import { findKeyword } from '../../sql/scanner.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { Session } from '../session.ts'
import type { AlterCommand } from './alter-commands.ts'
import { alterCommands, placeOf } from './alter-commands.ts'
import { fillFromSequence } from './added-sequence.ts'
import { carryOwner } from './carry-grants.ts'
import { targetOf } from './target.ts'

export async function carryAlterTable(statement: Statement, before: Snapshot, change: SchemaChange, session: Session, notice: (message: string) => void): Promise<void> {
  const alter = statement.node.AlterTableStmt as AlterTableStmt
  if (alter.objtype === 'OBJECT_TYPE') return change.onShards(change.shardIds, statement.source.text)
  const relation = targetOf(alter.relation as RangeVar, before, session)
  if (relation?.table === undefined) return
  const now = change.snapshot.relationsByOid.get(relation.oid)
  if (now === undefined) return
  await lockTable(relation, change)
  const source = new SourceText(statement.source.text)
  const commands = alterCommands(source, alter)
  if (relation.relkind !== 'm' && commands.some(({ subtype }) => /^AT_(Attach|Detach)Partition/.test(subtype)) && relation.table.kind !== 'single') {
    throw refuse('cannot attach partitions to a table that is on several shards')
  }
  const added = now.columns.filter((column) => !relation.columns.some((one) => one.number === column.number))
  if (relation.table.kind === 'reference') await refuseComputed(relation, added, change)
  if (await carryKeyType(commands, relation, now, change)) return
  const definition = await readDefinition(change, now.oid)
  const name = qualified(relation.schema, relation.name)
  const columnsFirst = async () => {
    const retyped = commands.filter((command) => command.subtype === 'AT_AlterColumnType').map((command) => command.text)
    const columns = definition.columns.filter((column) => added.some((one) => one.name === column.name))
    await onTable([...columns.map(columnAlone), ...retyped], name, now, added, change, session)
    for (const column of added) if (column.sequence !== undefined) await fillFromSequence(now, column, definition, change)
  }
  if (await reconsider(now, change, notice, columnsFirst)) return
  const own: string[] = []
  for (const command of commands) {
    const place = placeOf(command, now, definition, change.snapshot)
    const made = added.filter((column) => column.sequence !== undefined && isAddOf(command, column.name))
    if (place === 'owner') await carryOwner(now, change)
    else if (place === 'no-default') own.push(`ALTER COLUMN ${quoteIdent(command.name)} DROP DEFAULT`)
    else if (made.length > 0) own.push(...made.map((column) => `ADD COLUMN ${quoteIdent(column.name)} ${column.type}`))
    else if (place === 'table' || place === 'both') own.push(place === 'both' && command.subtype === 'AT_DropConstraint' ? ifExists(command.text) : command.text)
    if (place === 'leaves' || place === 'both') {
      // In their order: what stands before on the table comes before.
      await onTable(own.splice(0), name, now, added, change, session)
      await onLeaves(now, command.subtype === 'AT_DropConstraint' ? ifExists(command.text) : command.text, change)
    }
    if (place === 'index-constraint') await carryIndexConstraint(command, now, change)
  }
  await onTable(own, name, now, added, change, session)
  for (const column of added) {
    if (column.sequence === undefined) continue
    await fillFromSequence(now, column, definition, change)
    await addConstraintsOf(column.name, definition, now, change)
  }
  if (commands.some((command) => placeOf(command, now, definition, change.snapshot) === 'foreign-key')) await addForeignKeys([now.oid], change)
}

const isAddOf = (command: AlterCommand, column: string) => command.subtype === 'AT_AddColumn' && command.def?.ColumnDef?.colname === column

/** A column without its constraints; one of a sequence without its default too. */
function columnAlone(column: TableDefinition['columns'][number]): string {
  const plain = { ...column, default: column.hasSequence ? null : column.default, notNull: column.notNull && column.default !== null && !column.hasSequence }
  return `ADD COLUMN ${columnText(plain)}`
}

/** Constraints that came with the column, which the shards were given without them. */
async function addConstraintsOf(column: string, definition: TableDefinition, now: Relation, change: SchemaChange): Promise<void> {
  const table = qualified(now.schema, now.name)
  for (const constraint of definition.constraints) {
    if (constraint.type === 'f' || !constraint.columns.includes(column)) continue
    const [shard = 0] = holders(now, change)
    const { rows } = await change.onShard(shard, `SELECT FROM pg_constraint WHERE conname = ${quoteLiteral(constraint.name)} AND conrelid = ${quoteLiteral(table)}::regclass`)
    if (rows.length === 0) await change.onShards(holders(now, change), `ALTER TABLE ${table} ADD CONSTRAINT ${quoteIdent(constraint.name)} ${constraint.definition}`)
  }
}

/** Each copy would compute its own values. */
async function refuseComputed(relation: Relation, added: Relation['columns'], change: SchemaChange): Promise<void> {
  const isConstant = (value: string) => /^('[^']*'|-?[\d.]+|true|false|NULL)(::[\w ."]+)?$/.test(value)
  const computed = added.filter((column) => column.sequence !== undefined || (column.default !== undefined && !column.generated && !isConstant(column.default)))
  if (computed.length === 0) return
  const { rows } = await change.onCatalog(`SELECT FROM ${qualified(relation.schema, relation.name)} LIMIT 1`)
  if (rows.length > 0) throw refuse('cannot add a column with a computed default to a reference table that has rows', 'Add it without a default, and fill it.')
}

const ifExists = (text: string) => text.replace(/^(\s*drop\s+constraint\s+)(?!if\s+exists\b)/i, '$1IF EXISTS ')

async function onTable(commands: readonly string[], name: string, now: Relation, added: Relation['columns'], change: SchemaChange, session: Session): Promise<void> {
  if (commands.length === 0) return
  const text = `ALTER TABLE ${name} ${commands.join(', ')}`
  const timed = added.filter((column) => column.default !== undefined && usesTime(column.default, change, session))
  if (timed.length === 0) return change.onShards(holders(now, change), text)
  // The rows that are there get one time on all shards, those to come their own.
  const when = (await change.onCatalog(`SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'`)).rows[0]?.[0] ?? ''
  const source = new SourceText(text)
  const once = renderTimedText({ pieces: source.edited(timeEdits({ source, node: parseOne(text) })).split(hole) }, when)
  const later = timed.map((column) => `ALTER TABLE ${name} ALTER COLUMN ${quoteIdent(column.name)} SET DEFAULT ${column.default}`)
  await change.onShards(holders(now, change), [once, ...later].join('; '))
}

export async function onLeaves(now: Relation, command: string, change: SchemaChange): Promise<void> {
  for (const shard of holders(now, change)) {
    const texts = leavesOn(now, change.snapshot, shard).map((leaf) => `ALTER TABLE ${leaf} ${command}`)
    if (texts.length > 0) await change.onShard(shard, texts.join('; '))
  }
}

function usesTime(expression: string, change: SchemaChange, session: Session): boolean {
  return statementFacts(parseOne(`SELECT ${expression}`), session.nameContext(change.snapshot, [])).usesTime
}

/** The key decides where a row is, so with another type of key rows move. Gives true when that was done. */
async function carryKeyType(commands: readonly AlterCommand[], relation: Relation, now: Relation, change: SchemaChange): Promise<boolean> {
  const { table } = relation
  const key = table?.keyColumn
  const command = commands.find((one) => one.subtype === 'AT_AlterColumnType' && one.name === key)
  if (command === undefined || table === undefined) return false
  const column = now.columns.find((one) => one.name === key)
  const type = column?.type ?? ''
  const keyType = keyTypeOf(column?.baseType)
  if (commands.length > 1) throw refuse('cannot change the type of the shard key beside other changes', 'Use a statement of its own.')
  if (keyType === undefined && !table.byDefault) throw refuse(`a column of type ${type} cannot be a shard key`, 'Call undistribute_table() first.')
  const source = new SourceText(command.text)
  const using = findKeyword(source.raw, 'using')
  const expressions = using === undefined ? undefined : new Map([[key ?? '', source.between(using.end, source.length)]])
  const like = asWanted(table)
  const wanted = keyType === undefined || like.kind !== 'distributed' ? { kind: 'single' as const, shard: change.shardsForNew[0] ?? 0, reason: undefined } : { ...like, keyType }
  const isSame = wanted.kind === 'distributed' && wanted.keyType === table.keyType && relation.columns.find((one) => one.name === key)?.type === type && using === undefined
  if (isSame) return true
  await convert([{ relation: now, wanted, ...(expressions === undefined ? {} : { expressions }) }], table.byDefault, change)
  return true
}

/** A constraint that takes over an index: a partitioned table makes the two in one. */
async function carryIndexConstraint(command: AlterCommand, now: Relation, change: SchemaChange): Promise<void> {
  const { conname, indexname } = command.def?.Constraint ?? {}
  const name = conname === undefined || conname === '' ? indexname : conname
  const constraint = (await readDefinition(change, now.oid)).constraints.find((one) => one.name === name)
  if (constraint === undefined) throw refuse('the constraint of the index was not found')
  const table = qualified(now.schema, now.name)
  await change.onShards(
    holders(now, change),
    `DROP INDEX ${qualified(now.schema, indexname ?? '')}; ALTER TABLE ${table} ADD CONSTRAINT ${quoteIdent(constraint.name)} ${constraint.definition}`,
  )
}
