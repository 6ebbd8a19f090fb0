/** Golden plans: blocks of a comment, a statement, a line of dashes and the plan, with an empty line between blocks. */
import fs from 'node:fs'
import path from 'node:path'
import { SqlError } from '../../src/base/errors.ts'
import { describePlan } from '../../src/planner/describe-plan.ts'
import { planStatement } from '../../src/planner/plan-statement.ts'
import { parseStatements } from '../../src/sql/parse.ts'
import { planSnapshot } from './plan-snapshot.ts'

export interface GoldenCase {
  readonly comment: string
  readonly sql: string
  readonly plan: string
}

export interface GoldenFile {
  readonly file: string
  readonly title: string
  readonly cases: readonly GoldenCase[]
}

export const goldenFolder = path.join(import.meta.dirname, '../plans')

export function readGolden(): GoldenFile[] {
  return fs.readdirSync(goldenFolder).filter((name) => name.endsWith('.txt')).sort().map((name) => {
    const [head = '', ...blocks] = fs.readFileSync(path.join(goldenFolder, name), 'utf8').trim().split(/\n\n+/)
    return { file: name, title: head.replace(/^# /, ''), cases: blocks.map(parseBlock) }
  })
}

function parseBlock(block: string): GoldenCase {
  const [before = '', plan = ''] = block.split(/\n----\n?/)
  const lines = before.split('\n')
  const comment = lines.filter((line) => line.startsWith('# ')).map((line) => line.slice(2)).join(' ')
  return { comment, sql: lines.filter((line) => !line.startsWith('# ')).join('\n'), plan: plan.trimEnd() }
}

export function writeGolden({ file, title, cases }: GoldenFile): void {
  const blocks = cases.map((one) => `# ${one.comment}\n${one.sql}\n----\n${one.plan}`)
  fs.writeFileSync(path.join(goldenFolder, file), `# ${title}\n\n${blocks.join('\n\n')}\n`)
}

/** The plan of a statement as EXPLAIN would print it, or its refusal. */
export function planText(sql: string): string {
  const [statement] = parseStatements(sql)
  if (statement === undefined) return ''
  try {
    const context = { snapshot: planSnapshot, searchPath: ['public'], temporary: new Set(['scratch']), parameterTypes: [] }
    return describePlan(planStatement(statement, context).plan).join('\n')
  } catch (error) {
    if (!(error instanceof SqlError)) throw error
    return `refused ${error.code}: ${error.message}`
  }
}

/** docs/sql-support.md, made of the golden files. */
export function supportPage(files: readonly GoldenFile[]): string {
  const lines = [
    '# What SQL pgherd runs, and how',
    '',
    'This page is made from the golden plans in test/plans by `npm run docs`. In the examples `customers` (by `id`), `orders` (by',
    '`customer_id`) and `events` (by `key`) are distributed, `countries` is a reference table, `log` and `notes` are whole on shards 1 and 2.',
    'How each kind of plan works: docs/architecture.md. A refusal has SQLSTATE 0A000 unless it says otherwise. What isolation levels give: docs/isolation.md.',
    '',
    'While a bucket moves, statements that meet its cut-over wait for it, or begin anew without their clients seeing any of it. These cannot, and may get 40001: COPY FROM',
    'whose data has come; a write over several shards with RETURNING, or rows fetched in parts, of which some have gone out; REPEATABLE READ',
    'transactions (decisions/0005; test/integration/move-statements.test.ts has each kind).',
  ]
  for (const { title, cases } of files) {
    lines.push('', `## ${title}`, '', '| | statement | how it is run |', '|---|---|---|')
    for (const { comment, sql, plan } of cases) {
      const how = plan.startsWith('refused') ? plan : (plan.split('\n')[0] ?? '')
      const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
      lines.push(`| ${cell(comment)} | \`${cell(sql)}\` | ${cell(how)} |`)
    }
  }
  return `${lines.join('\n')}\n`
}
