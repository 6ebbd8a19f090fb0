/** Functions of the cluster, called in a SELECT of their own, named as users of Citus know them. */
import { refuse, SqlError } from '../../base/errors.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import { proposeShard } from '../../catalog/ring.ts'
import type { Wanted } from '../../executor/schema/choose-placement.ts'
import { boundTogether, keyProblem } from '../../executor/schema/choose-placement.ts'
import { convert } from '../../executor/schema/place-table.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { readDefinition } from '../../executor/schema/table-definition.ts'
import { resolveName } from '../../planner/resolve.ts'
import { MessageWriter } from '../../protocol/message-writer.ts'
import { textField, writeTextRow } from '../../protocol/row-description.ts'
import type { AnyNode, FuncCall } from '../../sql/ast.ts'
import { names } from '../../sql/ast.ts'
import { parseOne } from '../../sql/parse.ts'
import { checkTriggers } from '../schema/triggers.ts'
import type { Session } from '../session.ts'
import { distributedBy } from '../schema/placement-options.ts'
import type { Handler } from './run-statement.ts'
import { changeSchema } from '../schema/change-schema.ts'

type Work = (call: Call, change: SchemaChange, session: Session) => Promise<void>

const functions: Readonly<Record<string, { readonly parameters: readonly string[]; readonly work: Work }>> = {
  create_distributed_table: {
    parameters: ['table_name', 'distribution_column', 'distribution_type', 'colocate_with', 'shard_count'],
    work: async (call, change, session) => {
      const relation = tableOf(call, 'table_name', change, session)
      const key = call.get('distribution_column')
      if (key === undefined) throw new SqlError('22004', 'the distribution column cannot be NULL')
      const wanted = distributedBy(relation, key)
      checkColocation(call, wanted, change, session)
      const problem = keyProblem(await readDefinition(change, relation.oid), key)
      if (problem !== undefined) throw refuse(`cannot distribute "${relation.name}" by "${key}": ${problem}`)
      await place(relation, wanted, change)
    },
  },
  create_reference_table: {
    parameters: ['table_name'],
    work: (call, change, session) => place(tableOf(call, 'table_name', change, session), { kind: 'reference' }, change),
  },
  undistribute_table: {
    parameters: ['table_name', 'cascade_via_foreign_keys'],
    work: (call, change, session) => {
      const relation = tableOf(call, 'table_name', change, session)
      const shard = proposeShard(`${relation.schema}.${relation.name}`, change.shardsForNew)
      return place(relation, { kind: 'single', shard, reason: undefined }, change)
    },
  },
}

class Call {
  private readonly values: ReadonlyMap<string, string | undefined>
  constructor(values: ReadonlyMap<string, string | undefined>) {
    this.values = values
  }
  get(name: string): string | undefined {
    return this.values.get(name)
  }
}

export const runAdminFunction: Handler = async (statement, _args, sink, session) => {
  const select = statement.node.SelectStmt
  const [target, ...more] = select?.targetList ?? []
  const call = ((target as AnyNode | undefined)?.ResTarget?.val as AnyNode | undefined)?.FuncCall as FuncCall | undefined
  const name = names(call?.funcname as AnyNode[] | undefined).at(-1) ?? ''
  const known = Object.hasOwn(functions, name) ? functions[name] : undefined
  if (known === undefined || more.length > 0 || select?.fromClause !== undefined) return undefined
  const arguments_ = readArguments(name, call as FuncCall, known.parameters)
  await changeSchema(session, async (change) => {
    await known.work(arguments_, change, session)
    return { kind: 'complete', tag: '' }
  })
  sink.fields([{ ...textField(name), typeOid: 2278, typeSize: 4 }])
  const writer = new MessageWriter()
  writeTextRow(writer, [''])
  const row = writer.take()
  sink.row(row, 5, row.length)
  return { kind: 'complete', tag: 'SELECT 1' }
}

function readArguments(name: string, call: FuncCall, parameters: readonly string[]): Call {
  const values = new Map<string, string | undefined>()
  for (const [i, node] of (call.args ?? []).entries()) {
    const named = (node as AnyNode).NamedArgExpr
    const parameter = named?.name ?? parameters[i]
    const value = (named?.arg ?? node) as AnyNode
    const constant = (value.TypeCast?.arg as AnyNode | undefined)?.A_Const ?? value.A_Const
    if (constant === undefined || parameter === undefined || !parameters.includes(parameter)) throw new SqlError('42883', `${name} takes constants: ${parameters.join(', ')}`)
    values.set(parameter, constant.isnull === true ? undefined : (constant.sval?.sval ?? String(constant.ival?.ival ?? constant.boolval?.boolval ?? '')))
  }
  return new Call(values)
}

function tableOf(call: Call, parameter: string, change: SchemaChange, session: Session): Relation {
  const text = call.get(parameter)
  if (text === undefined) throw new SqlError('22004', `${parameter} cannot be NULL`)
  const { RangeVar: rangeVar } = ((parseOne(`SELECT FROM ${text}`).SelectStmt?.fromClause ?? [])[0] ?? {}) as AnyNode
  const resolved = resolveName(session.nameContext(change.snapshot, []), rangeVar?.schemaname, rangeVar?.relname ?? '')
  if (resolved.kind !== 'relation') throw new SqlError('42P01', `relation "${text}" does not exist`)
  if (resolved.relation.table === undefined || resolved.relation.relkind === 'm') throw new SqlError('42809', `"${text}" is not a table`)
  return resolved.relation
}

/** Tables with keys of one type are in one group: co-located with each other, and with no others. */
function checkColocation(call: Call, wanted: Wanted, change: SchemaChange, session: Session): void {
  const other = call.get('colocate_with')
  if (other === undefined || other === 'default') return
  if (other === 'none') throw refuse("colocate_with => 'none' is not supported", 'Tables with keys of one type are co-located.')
  const { table } = tableOf(new Call(new Map([['table_name', other]])), 'table_name', change, session)
  if (table?.kind !== 'distributed' || wanted.kind !== 'distributed' || table.keyType !== wanted.keyType) {
    throw refuse(`cannot co-locate with "${other}": it is not distributed by a column of the same type`)
  }
}

async function place(relation: Relation, wanted: Wanted, change: SchemaChange): Promise<void> {
  const bound = await boundTogether(relation, wanted, change)
  if (bound !== undefined) throw refuse(`cannot place "${relation.name}" so: ${bound.reason}`, 'Drop the foreign key first, or make the other table a reference table.')
  await convert([{ relation, wanted }], false, change)
  await checkTriggers(change)
}
