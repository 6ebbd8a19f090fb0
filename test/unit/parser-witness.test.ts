/**
 * An independent witness: of each statement of data in the parity cases, node-sql-parser must name the tables that facts.ts does, and
 * those that it writes.
 *
 * It shares no grammar with the router. Where it cannot read a statement (a third of them) it says nothing; it names CTEs among
 * the tables. Where the two disagree, one of them is wrong: `differences` says which, and why.
 */
import fs from 'node:fs'
import path from 'node:path'
import sqlParser from 'node-sql-parser/build/postgresql'
import { beforeAll, expect, test } from 'vitest'
import { statementFacts } from '../../src/planner/facts.ts'
import { isDataStatement } from '../../src/planner/plan-statement.ts'
import { walk } from '../../src/sql/ast.ts'
import type { AnyNode } from '../../src/sql/ast.ts'
import { parserReady, parseStatements } from '../../src/sql/parse.ts'
import { splitStatements } from '../parity/split-statements.ts'
import { planSnapshot } from '../support/plan-snapshot.ts'

const differences: readonly { readonly sql: RegExp; readonly reason: string }[] = [
  { sql: /\bONLY\s+\w/, reason: 'the witness takes ONLY for the name of a table' },
  { sql: /\b(FROM|JOIN)\s*\(\s*\w+(\s+(AS\s+)?\w+)?(\s*\([\w, ]*\))?\s+JOIN\b/, reason: 'the witness does not look into a join in parentheses' },
]

const folder = path.join(import.meta.dirname, '../parity/cases')
const witness = new sqlParser.Parser()

beforeAll(() => parserReady)

interface Names {
  readonly all: ReadonlySet<string>
  readonly written: ReadonlySet<string>
}

function namesByWitness(sql: string): Names | undefined {
  try {
    // An entry is action::schema::table, "null" for no schema. What stands beside the target of an UPDATE is one that it updates, too.
    const entries = witness.parse(sql, { database: 'postgresql' }).tableList
    const named = (list: readonly string[]) => new Set(list.map((entry) => entry.split('::').slice(1).join('.').replace(/^null\./, '')))
    return { all: named(entries), written: named(entries.filter((entry) => !entry.startsWith('select::'))) }
  } catch {
    return undefined // not in its grammar
  }
}

function namesByFacts(node: AnyNode): Names {
  const { relations } = statementFacts(node, { snapshot: planSnapshot, searchPath: ['public'], temporary: new Set(), parameterTypes: [] })
  const named = (uses: typeof relations) => new Set(uses.map(({ rangeVar: { schemaname, relname } }) => (schemaname === undefined ? `${relname}` : `${schemaname}.${relname}`)))
  return { all: named(relations), written: named(relations.filter((use) => use.isTarget)) }
}

function namesOfCtes(node: AnyNode): ReadonlySet<string> {
  const found = new Set<string>()
  walk(node, (tree) => {
    if (typeof tree.ctename === 'string') found.add(tree.ctename)
  })
  return found
}

test('both name the same tables', { timeout: 60_000 }, () => {
  let compared = 0
  const disagreements: string[] = []
  const used = new Set<RegExp>()
  for (const file of fs.readdirSync(folder).filter((name) => name.endsWith('.sql'))) {
    for (const { sql, line } of splitStatements(fs.readFileSync(path.join(folder, file), 'utf8'))) {
      const [statement] = readable(sql)
      if (statement === undefined || !isDataStatement(statement)) continue
      const theirs = namesByWitness(sql)
      if (theirs === undefined) continue
      compared++
      const ours = namesByFacts(statement.node)
      const ctes = namesOfCtes(statement.node)
      const missing = [...[...ours.all].filter((name) => !theirs.all.has(name)), ...[...ours.written].filter((name) => !theirs.written.has(name))]
      const more = [...theirs.all].filter((name) => !ours.all.has(name) && !ctes.has(name))
      if (missing.length === 0 && more.length === 0) continue
      const known = differences.find((one) => one.sql.test(sql))?.sql
      if (known === undefined) disagreements.push(`${file}:${line} only the router: ${missing.join()}; only the witness: ${more.join()}\n  ${sql}`)
      else used.add(known)
    }
  }
  expect(disagreements.join('\n')).toBe('')
  expect(differences.filter((one) => !used.has(one.sql)), 'differences that are gone').toEqual([])
  expect(compared).toBeGreaterThan(1000)
})

function readable(sql: string): ReturnType<typeof parseStatements> {
  try {
    return parseStatements(sql)
  } catch {
    return [] // cases of syntax errors
  }
}
