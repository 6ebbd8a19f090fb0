/** The arguments of a function that the router answers: constants and parameters, by position or by name, as texts of their types. */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import type { Arguments } from '../../executor/context.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode, FuncCall } from '../../sql/ast.ts'
import type { Session } from '../session.ts'

export interface Parameter {
  readonly name: string
  readonly type: 'text' | 'bigint' | 'integer' | 'boolean' | 'real'
  readonly isOptional?: boolean
}

export interface CallArguments {
  /** Undefined when it is NULL, or was left out. */
  readonly values: ReadonlyMap<string, string | undefined>
  /** Of the user that called: what only superusers may do is up to it. */
  readonly isSuperuser: boolean
}

/** The catalog computes them: it knows what a client has bound, and what fits a type. */
export async function readArguments(name: string, call: FuncCall, parameters: readonly Parameter[], args: Arguments, session: Session): Promise<CallArguments> {
  const given = new Map<Parameter, string>()
  for (const [i, node] of ((call.args ?? []) as AnyNode[]).entries()) {
    const named = node.NamedArgExpr
    const parameter = named === undefined ? parameters[i] : parameters.find((one) => one.name === named.name)
    if (parameter === undefined || given.has(parameter)) throw wrongCall(name, parameters)
    given.set(parameter, `(${constantText((named?.arg ?? node) as AnyNode)})::pg_catalog.${parameter.type === 'integer' ? 'int4' : parameter.type === 'bigint' ? 'int8' : parameter.type === 'boolean' ? 'bool' : parameter.type === 'real' ? 'float4' : 'text'}::pg_catalog.text`)
  }
  if (parameters.some((parameter) => parameter.isOptional !== true && !given.has(parameter))) throw wrongCall(name, parameters)
  const text = `SELECT ${['(SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user)::pg_catalog.text', ...given.values()].join(', ')}`
  const found = new RowsSink()
  const asTexts = { ...args, keep: false, portal: '', rowsMax: 0, bind: { ...args.bind, resultFormats: [] } }
  await runOnServer(session.services.catalog, { text, markers: [], writes: false }, asTexts, found, session.executionContext(await session.currentSnapshot()))
  const [isSuperuser, ...values] = readDataRow(found.rows[0] as Buffer, 0).map((value) => value?.toString())
  return { isSuperuser: isSuperuser === 'true', values: new Map([...given.keys()].map((parameter, i) => [parameter.name, values[i]])) }
}

function constantText(node: AnyNode): string {
  const inner = (node.TypeCast?.arg as AnyNode | undefined) ?? node
  const { A_Const: constant, ParamRef: parameter } = inner
  if (parameter !== undefined) return `$${parameter.number}`
  if (constant === undefined) throw refuse('functions of pgherd are supported with constants and parameters')
  if (constant.isnull === true) return 'NULL'
  if (constant.ival !== undefined) return String(constant.ival.ival ?? 0)
  if (constant.fval !== undefined) return constant.fval.fval ?? '0'
  if (constant.boolval !== undefined) return String(constant.boolval.boolval ?? false)
  return quoteLiteral(constant.sval?.sval ?? '')
}

function wrongCall(name: string, parameters: readonly Parameter[]): SqlError {
  return new SqlError('42883', `${name} takes other arguments`, { hint: `It is ${name}(${parameters.map((one) => `${one.name} ${one.type}${one.isOptional === true ? ' DEFAULT ...' : ''}`).join(', ')}).` })
}
