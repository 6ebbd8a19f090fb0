/** What people read of a run: scripts to paste into a parity case, and what the cluster refused. */
import type { Outcome } from './pair.ts'
import { quoted } from './schema.ts'
import type { Step } from './step.ts'

export function script(steps: readonly Step[]): string {
  return steps.map((step) => `${text(step)};`).join('\n')
}

function text({ sql, parameters, clusterOnly }: Step): string {
  if (clusterOnly === true) return `/* cluster */ ${sql}`
  if (parameters === undefined || parameters.length === 0) return sql
  const values = parameters.map((one, i) => `$${i + 1} = ${one.text === undefined ? 'NULL' : quoted(one.text)} (type ${one.oid}${one.binary ? ', binary' : ''})`)
  return `-- with ${values.join(', ')}\n${sql}`
}

export function answers({ expected, actual, differs }: Outcome): string {
  return `differs: ${differs}\nPostgreSQL: ${short(expected)}\ncluster:    ${short(actual)}`
}

function short(result: Outcome['actual'] | undefined): string {
  if (result === undefined) return '-'
  if (result.error !== undefined) return `${result.error.sqlstate} ${result.error.message} [${result.status}]`
  const names = result.columns?.map((column) => `${column.name}:${column.typeOid}`).join(' ') ?? ''
  const rows = JSON.stringify(result.rows)
  return `${result.tags.join(', ')} (${names}) ${rows.length > 600 ? `${rows.slice(0, 600)}...` : rows} [${result.status}]`
}

export function histogram(counts: ReadonlyMap<string, number>): string {
  return [...counts].sort((a, b) => b[1] - a[1]).map(([message, count]) => `${String(count).padStart(6)}  ${message}`).join('\n')
}

export function addCounts(to: Map<string, number>, from: ReadonlyMap<string, number>): void {
  for (const [key, count] of from) to.set(key, (to.get(key) ?? 0) + count)
}
