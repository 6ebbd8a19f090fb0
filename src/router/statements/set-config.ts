/**
 * SELECT set_config(name, value, is_local), ...: as pg_dump, PostgREST and ORMs send it, also with parameters, and for the rows of
 * the system's tables.
 *
 * The catalog computes the arguments, each call's as one JSON array; then each is set as SET would, and the values are told.
 */
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../../base/quote.ts'
import { noArguments } from '../../executor/context.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode, FuncCall } from '../../sql/ast.ts'
import { names } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { parseOne } from '../../sql/parse.ts'
import { nameEnd, nextToken, tokensWithDepth } from '../../sql/scanner.ts'
import type { Edit } from '../../sql/source-text.ts'
import { SourceText } from '../../sql/source-text.ts'
import type { Handler } from './run-statement.ts'
import { apply, checkEncodingName, checkName, checkValue } from './settings.ts'

export const runSetConfig: Handler = async (statement, args, sink, session) => {
  const select = statement.node.SelectStmt
  if (select === undefined || !/set_config/i.test(statement.source.text)) return undefined
  const targets = (select.targetList ?? []).map((target) => (target as AnyNode).ResTarget)
  const calls = targets.map((target) => (target?.val as AnyNode | undefined)?.FuncCall as FuncCall | undefined)
  const isSetConfig = (call: FuncCall | undefined) => names(call?.funcname as AnyNode[] | undefined).at(-1) === 'set_config'
  if (!calls.some(isSetConfig)) return undefined
  if (!calls.every(isSetConfig)) throw refuse('set_config beside other columns is not supported', 'Use SET, or SELECT set_config(...) alone.')
  if (calls.some((call) => call?.args?.length !== 3)) throw new SqlError('42883', 'set_config takes a name, a value and is_local')
  const { plan } = session.plan(withArguments(statement, calls as FuncCall[]), args.types, await session.currentSnapshot())
  if (plan.kind !== 'catalog') throw refuse('set_config over tables on shards is not supported', 'Use SET.')
  const context = session.executionContext(await session.currentSnapshot(), statement.source.text)
  const found = new RowsSink()
  const given = { ...args, keep: false, portal: '', rowsMax: 0, bind: { ...args.bind, resultFormats: [] } }
  await runOnServer(session.services.catalog, { text: plan.text, markers: [], writes: false }, given, found, context)
  const rows: string[][] = []
  for (const row of found.rows) {
    const values: string[] = []
    for (const cell of readDataRow(row, 0)) values.push(await setOne(JSON.parse(cell?.toString() ?? '[]') as [string | null, string | null, boolean | null]))
    rows.push(values)
  }
  const columns = targets.map((target) => quoteIdent(target?.name ?? 'set_config'))
  const values = rows.length === 0 ? `(${columns.map(() => 'NULL::text').join(', ')})` : rows.map((row) => `(${row.join(', ')})`).join(', ')
  const text = `SELECT * FROM (VALUES ${values}) AS v (${columns.join(', ')})${rows.length === 0 ? ' WHERE false' : ''}`
  const told = { ...noArguments, bind: { ...noArguments.bind, resultFormats: args.bind.resultFormats } }
  return runOnServer(session.services.catalog, { text, markers: [], writes: false }, told, sink, context)

  /** Gives the SQL of what the call returns. */
  async function setOne([name, value, isLocal]: [string | null, string | null, boolean | null]): Promise<string> {
    if (name === null) throw new SqlError('22004', 'SET requires parameter name')
    const key = name.toLowerCase()
    const local = isLocal === true
    const quoted = key.split('.').map(quoteIdent).join('.')
    checkName(key)
    if (key === 'client_encoding') checkEncodingName(value ?? 'UTF8')
    if (value !== null) checkValue(key, value)
    if (local && !session.transaction.active) return value === null ? 'NULL::text' : `${quoteLiteral(value)}::text`
    await apply(session, value === null ? `SET ${local ? 'LOCAL ' : ''}${quoted} TO DEFAULT` : `SET ${local ? 'LOCAL ' : ''}${quoted} = ${settingValue(key, value)}`, key, local, value === null ? 'reset' : 'set', false)
    return key === 'search_path' && value !== null ? `${quoteLiteral(value)}::text` : `current_setting(${quoteLiteral(key)})`
  }
}

/** As SET takes it: a search_path is a list of names, anything else one value. */
function settingValue(key: string, value: string): string {
  if (key !== 'search_path') return quoteLiteral(value)
  const parts = value.match(/"(?:[^"]|"")*"|[^,\s]+/g) ?? []
  return parts.length === 0 ? "''" : parts.map((part) => (part.startsWith('"') ? part : quoteLiteral(part.toLowerCase()))).join(', ')
}

/** set_config(a, b, c) becomes jsonb_build_array((a)::text, (b)::text, (c)::bool). */
function withArguments(statement: Statement, calls: readonly FuncCall[]): Statement {
  const { raw } = statement.source
  const casts = ['text', 'text', 'bool']
  const edits = calls.flatMap((call): Edit[] => {
    const start = call.location ?? 0
    const open = nextToken(raw, nameEnd(raw, start))?.end ?? start
    const result: Edit[] = [{ start, end: nameEnd(raw, start), text: 'pg_catalog.jsonb_build_array' }]
    let argument = 0
    let from = open
    const close = (at: number) => {
      result.push({ start: from, end: from, text: '(' }, { start: at, end: at, text: `)::pg_catalog.${casts[argument] ?? 'text'}` })
      argument++
    }
    for (const token of tokensWithDepth(raw, open)) {
      if (token.depth < 0) {
        close(token.start)
        break
      }
      if (token.depth === 0 && token.text === ',') {
        close(token.start)
        from = token.end
      }
    }
    return result
  })
  const source = new SourceText(statement.source.edited(edits))
  return { source, node: parseOne(source.text) }
}
