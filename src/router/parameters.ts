/** The parameters in a statement: how many there are, and where PostgreSQL would find one that cannot be. */
import { SqlError } from '../base/errors.ts'
import { isDataStatement } from '../planner/plan-statement.ts'
import { walk } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import { characterCount } from '../sql/source-text.ts'

interface Parameter {
  readonly number: number
  /** In bytes of the statement's text. */
  readonly location: number
}

const known = new WeakMap<Statement, readonly Parameter[]>()

function parametersOf(statement: Statement): readonly Parameter[] {
  const before = known.get(statement)
  if (before !== undefined) return before
  const found: Parameter[] = []
  // PREPARE's own parameters are those of the statement in it.
  if (statement.node.PrepareStmt === undefined) {
    walk(statement.node, (tree, key) => {
      if (key === 'ParamRef') found.push({ number: (tree.number as number | undefined) ?? 0, location: (tree.location as number | undefined) ?? 0 })
    })
  }
  known.set(statement, found)
  return found
}

/** The highest parameter number in a statement. */
export function parameterCount(statement: Statement): number {
  return parametersOf(statement).reduce((most, { number }) => Math.max(most, number), 0)
}

/** Throws 42P02 for a parameter of a statement that can be given no values. */
export function refuseParameters(statement: Statement): void {
  const { node } = statement
  const takesNone = isDataStatement(statement) || node.DeclareCursorStmt !== undefined || node.ExplainStmt !== undefined || node.CreateTableAsStmt !== undefined
  if (takesNone) refuse(statement, parametersOf(statement)[0])
}

/** Throws 42P02 for $0, which the grammar takes. */
export function refuseParameterZero(statement: Statement): void {
  refuse(statement, parametersOf(statement).find(({ number }) => number === 0))
}

function refuse({ source }: Statement, parameter: Parameter | undefined): void {
  if (parameter === undefined) return
  const position = String(characterCount(source.between(0, parameter.location)) + 1)
  // Letters behind a parameter's number: this parser takes them, PostgreSQL's own scanner does not.
  const junk = /^\$\d+[A-Za-z_\x80-\xff]/.exec(source.raw.slice(parameter.location, parameter.location + 20))?.[0]
  if (junk !== undefined) throw new SqlError('42601', `trailing junk after parameter at or near "${junk}"`, { position })
  throw new SqlError('42P02', `there is no parameter $${parameter.number}`, { position })
}
