/** SQL's PREPARE, EXECUTE and DEALLOCATE: the same statements as the extended protocol's, by name. */
import { asSqlError, refuse, shiftPosition, SqlError } from '../../base/errors.ts'
import { noArguments } from '../../executor/context.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { readDataRow } from '../../protocol/row-description.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { parseStatements } from '../../sql/parse.ts'
import { findKeyword, tokensWithDepth } from '../../sql/scanner.ts'
import { characterCount } from '../../sql/source-text.ts'
import { describeStatement } from '../describe-statement.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

export const prepare: Handler = async (statement, _args, _sink, session) => {
  const node = statement.node.PrepareStmt
  const name = node?.name ?? ''
  if (session.extended.hasStatement(name)) throw new SqlError('42P05', `prepared statement "${name}" already exists`)
  const { source } = statement
  const as = findKeyword(source.raw, 'as')
  const [query, ...more] = parseStatements(source.between(as?.end ?? 0, source.length))
  if (query === undefined || more.length > 0) throw refuse('cannot read the statement to prepare')
  const types = node?.argtypes === undefined ? [] : await typeOids(argumentTexts(source.raw.slice(0, as?.start)), session)
  const description = await describeStatement(session, query, types).catch((error: unknown) => {
    throw shiftPosition(asSqlError(error), characterCount(source.between(0, as?.end ?? 0)))
  })
  session.extended.addStatement(name, source.text, query, description)
  return { kind: 'complete', tag: 'PREPARE' }
}

/** The texts between the first parentheses at depth 0, split at commas. */
function argumentTexts(raw: string): string[] {
  const parts: string[] = []
  let start = -1
  for (const token of tokensWithDepth(raw)) {
    if (token.depth === 0 && token.text === '(' && start < 0) start = token.end
    else if (start >= 0 && ((token.depth === 1 && token.text === ',') || (token.depth === 0 && token.text === ')'))) {
      parts.push(Buffer.from(raw.slice(start, token.start), 'latin1').toString())
      start = token.end
      if (token.depth === 0) break
    }
  }
  return parts
}

async function typeOids(types: readonly string[], session: Session): Promise<number[]> {
  const row = await ask(`SELECT ${types.map((type) => `'${type.trim().replaceAll("'", "''")}'::regtype::oid::int8`).join(', ')}`, session)
  return row.map((value) => Number(value?.toString()))
}

async function ask(text: string, session: Session): Promise<(Buffer | undefined)[]> {
  const sink = new RowsSink()
  const context = session.executionContext(await session.currentSnapshot())
  await runOnServer(session.services.catalog, { text, markers: [], writes: false }, noArguments, sink, context)
  return sink.rows[0] === undefined ? [] : readDataRow(sink.rows[0], 0)
}

export const executePrepared: Handler = async (statement, _args, sink, session) => {
  const node = statement.node.ExecuteStmt
  const name = node?.name ?? ''
  const prepared = session.extended.statement(name)
  if (prepared?.statement === undefined) throw new SqlError('26000', `prepared statement "${name}" does not exist`)
  await session.extended.checkExecute(prepared)
  // PostgreSQL does not look at arguments where the statement has no parameters.
  const given = prepared.types.length === 0 ? [] : ((node?.params ?? []) as AnyNode[])
  if (given.length !== prepared.types.length) {
    throw new SqlError('42601', `wrong number of parameters for prepared statement "${name}"`, {
      detail: `Expected ${prepared.types.length} parameters but got ${given.length}.`,
    })
  }
  const expressions = given.length === 0 ? [] : argumentTexts(statement.source.raw)
  const values: (Buffer | undefined)[] = []
  if (expressions.length > 0) {
    const types = await ask(`SELECT ${prepared.types.map((oid) => `format_type(${oid}, -1)`).join(', ')}`, session)
    values.push(...(await ask(`SELECT ${expressions.map((text, i) => `CAST(${text} AS ${types[i]?.toString()})`).join(', ')}`, session)))
  }
  const bind = { parameterFormats: [], values, resultFormats: [] }
  return session.runStatement(prepared.statement, { ...noArguments, types: prepared.types, bind, keep: true }, sink)
}

export const deallocate: Handler = async (statement, _args, _sink, session) => {
  const name = statement.node.DeallocateStmt?.name
  if (name === undefined) {
    session.extended.closeAll()
    return { kind: 'complete', tag: 'DEALLOCATE ALL' }
  }
  if (!session.extended.deallocate(name)) throw new SqlError('26000', `prepared statement "${name}" does not exist`)
  return { kind: 'complete', tag: 'DEALLOCATE' }
}
