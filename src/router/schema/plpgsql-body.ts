/** What a PL/pgSQL body says: the queries and expressions in it, and its SQL statements with their places. */
import { parseOne, parsePlpgsql, parseStatements } from '../../sql/parse.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { walk } from '../../sql/ast.ts'
import { tokensWithDepth } from '../../sql/scanner.ts'

export interface PlpgsqlStatement {
  /** 'dynamic' is EXECUTE: its text is an expression. */
  readonly kind: 'static' | 'dynamic'
  readonly text: string
  /** Counted from 1 within the body. */
  readonly line: number
}

export interface PlpgsqlBody {
  /** The trees of all queries and expressions. */
  readonly nodes: readonly AnyNode[]
  readonly statements: readonly PlpgsqlStatement[]
  readonly variables: ReadonlySet<string>
  /** COMMIT or ROLLBACK. */
  readonly endsTransactions: boolean
  /** A cursor is opened for a text. */
  readonly opensDynamicCursor: boolean
  /** How often PL/pgSQL's IF stands in it. */
  readonly ifs: number
}

interface Expression {
  readonly query: string
  readonly parseMode?: number
}

/** Throws when the body cannot be read. */
export function readPlpgsql(definition: string): PlpgsqlBody {
  const nodes: AnyNode[] = []
  const statements: PlpgsqlStatement[] = []
  const variables = new Set<string>()
  let endsTransactions = false
  let opensDynamicCursor = false
  let ifs = 0
  const textOf = (holder: unknown) => (holder as { PLpgSQL_expr: Expression }).PLpgSQL_expr.query
  walk(parsePlpgsql(definition), (tree, key) => {
    if (key === 'PLpgSQL_expr') nodes.push(...parseExpression(tree as unknown as Expression))
    else if (key === 'PLpgSQL_stmt_execsql') statements.push({ kind: 'static', text: textOf(tree.sqlstmt), line: Number(tree.lineno) })
    else if (key === 'PLpgSQL_stmt_dynexecute' || key === 'PLpgSQL_stmt_dynfors') statements.push({ kind: 'dynamic', text: textOf(tree.query), line: Number(tree.lineno) })
    else if (key === 'PLpgSQL_stmt_return_query' && tree.dynquery !== undefined) statements.push({ kind: 'dynamic', text: textOf(tree.dynquery), line: Number(tree.lineno) })
    else if (key === 'PLpgSQL_stmt_open' && tree.dynquery !== undefined) opensDynamicCursor = true
    else if (key === 'PLpgSQL_stmt_commit' || key === 'PLpgSQL_stmt_rollback') endsTransactions = true
    else if (key === 'PLpgSQL_stmt_if') ifs++
    else if ((key === 'PLpgSQL_var' || key === 'PLpgSQL_rec') && typeof tree.refname === 'string') variables.add(tree.refname)
  })
  return { nodes, statements, variables, endsTransactions, opensDynamicCursor, ifs }
}

const modeOfExpression = 2

/** An assignment is read as a query of both of its sides: a subscript on the left may call a function too. */
function parseExpression({ query, parseMode = 0 }: Expression): AnyNode[] {
  if (parseMode < modeOfExpression) return parseStatements(query).map((statement) => statement.node)
  if (parseMode === modeOfExpression) return [parseOne(`SELECT ${query}`)]
  for (const token of tokensWithDepth(Buffer.from(query).toString('latin1'))) {
    if (token.depth > 0 || !/^[:=]$/.test(token.text)) continue
    const bytes = Buffer.from(query)
    const rest = bytes.subarray(token.start).toString().replace(/^:?=/, '')
    return [parseOne(`SELECT ${bytes.subarray(0, token.start).toString()}`), parseOne(`SELECT ${rest}`)]
  }
  throw new Error('an assignment without a sign')
}

/** `text` between dollar quotes that do not stand in it. */
export function dollarQuoted(text: string): string {
  let tag = '$pgherd$'
  for (let i = 0; text.includes(tag); i++) tag = `$pgherd${i}$`
  return `${tag}${text}${tag}`
}

/** A body as the parser takes it, and as PostgreSQL's own validator does. */
export function asFunction(body: string, schema = 'pg_temp'): string {
  return `CREATE FUNCTION ${schema}.pgherd_block() RETURNS void LANGUAGE plpgsql AS ${dollarQuoted(body)}`
}
