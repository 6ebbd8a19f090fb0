/** The one door to PostgreSQL's own parser (libpg-query, compiled to WASM). */
import { loadModule, parsePlPgSQLSync, parseSync } from 'libpg-query'
import { SqlError } from '../base/errors.ts'
import type { AnyNode } from './ast.ts'
import { characterCount, SourceText } from './source-text.ts'

export interface Statement {
  /** This statement alone, without what stands before and after it in the text it came in. */
  readonly source: SourceText
  readonly node: AnyNode
  /** How many characters stand before it in the text it came in. */
  readonly offset?: number
}

/** Must have resolved before anything is parsed. */
export const parserReady: Promise<void> = loadModule()

/** The statements of a text, in order; none for an empty text. Throws SqlError 42601 with the position. */
export function parseStatements(text: string): Statement[] {
  const tree = parseTree(text)
  const [only] = tree
  if (tree.length === 1 && only?.stmt !== undefined) return [{ source: new SourceText(text), node: only.stmt }]
  const whole = new SourceText(text)
  return tree.map(({ stmt_location = 0, stmt_len }) => {
    const end = stmt_len === undefined || stmt_len === 0 ? whole.length : stmt_location + stmt_len
    const source = whole.slice(stmt_location, end)
    return { source, node: parseOne(source.text), offset: characterCount(whole.between(0, end)) - characterCount(source.text) }
  })
}

/** The tree of a text that must be one statement. */
export function parseOne(text: string): AnyNode {
  const [first, ...more] = parseTree(text)
  if (first?.stmt === undefined || more.length > 0) throw new SqlError('42601', 'one statement was expected')
  return first.stmt
}

interface RawStatement {
  readonly stmt?: AnyNode
  readonly stmt_location?: number
  readonly stmt_len?: number
}

function parseTree(text: string): RawStatement[] {
  if (text.includes('\0')) throw new SqlError('22021', 'invalid byte sequence for encoding "UTF8": 0x00')
  if (/^[\s;]*$/.test(text)) return []
  try {
    return (parseSync(text).stmts ?? []) as RawStatement[]
  } catch (error) {
    throw asSyntaxError(error, text)
  }
}

/** The tree of a CREATE FUNCTION in PL/pgSQL. */
export function parsePlpgsql(text: string): unknown {
  return parsePlPgSQLSync(text)
}

function asSyntaxError(error: unknown, text: string): SqlError {
  if (error instanceof RangeError) {
    return new SqlError('54001', 'statement is nested too deeply', { hint: 'Simplify the statement.' })
  }
  const { message, sqlDetails } = error as Error & { sqlDetails?: { message: string; cursorPosition: number; fileName: string; functionName: string; lineNumber: number } }
  if (sqlDetails === undefined) return new SqlError('XX000', `parser failed: ${message}`)
  // The parser counts characters from zero, PostgreSQL tells them from one.
  const end = /at end of input$/.test(sqlDetails.message)
  const { fileName, functionName, lineNumber } = sqlDetails
  return new SqlError('42601', sqlDetails.message, {
    position: String(end ? characterCount(text) + 1 : sqlDetails.cursorPosition + 1),
    file: fileName,
    line: String(lineNumber),
    routine: functionName,
  })
}
