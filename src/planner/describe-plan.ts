/** A plan as text: one line a step, with the rule that makes it right. EXPLAIN shows it, golden files hold it. */
import { unreachable } from '../base/errors.ts'
import type { Bench, Fetch, KeySource, QueryFetch, QueryPlan, RowCount, ScatterPlan } from './plan.ts'
import { timeHole } from './plan.ts'

export function describePlan(plan: QueryPlan): string[] {
  switch (plan.kind) {
    case 'one-shard': {
      const { route } = plan
      const where = route.kind === 'bucket' ? `bucket of ${describeKey(route.key)}` : route.kind === 'shard' ? `shard ${route.shard}` : 'any shard'
      const text = plan.text.pieces.map((piece, i) => (i === 0 ? piece : `<leaf of t${plan.text.tableIds[i - 1]}>${piece}`)).join('')
      return [`One Shard  route=${where}  ${access(plan.writes)}  (${plan.rule})`, ...indent(text)]
    }
    case 'scatter': {
      const combine = plan.combine === undefined ? [] : [`Combine  ${plan.combine.join(', ')}`]
      const lines = [`Scatter  shards=${plan.shards.join(',')}${describeKeys(plan.keys)}  ${access(plan.writes)}  (${plan.rule})`, ...indent(plan.text.pieces.join('<now>'))]
      return combine.length === 0 ? lines : [...combine, ...lines.map((line) => `  ${line}`)]
    }
    case 'merge': {
      const order = plan.order.map((key) => `${key.type}${key.descending ? ' desc' : ''}${key.nullsFirst ? ' nulls first' : ''}`)
      const limits = [describeRows('limit', plan.limit), describeRows('offset', plan.offset)].join('')
      return [
        `Merge  ${order.length === 0 ? 'any order' : `by ${order.join(', ')}`}${limits}  (${plan.rule})`,
        `  Scatter  shards=${plan.shards.join(',')}${describeKeys(plan.keys)}  read`,
        ...indent(plan.text.pieces.join('<now>')).map((line) => `  ${line}`),
      ]
    }
    case 'broadcast': {
      const text = plan.pieces.map((piece, i) => (i === 0 ? piece : `<${plan.uses[i - 1] === timeHole ? 'now' : `rows of ${plan.fetches[plan.uses[i - 1] ?? 0]?.relation.name}`}>${piece}`)).join('')
      return [`Broadcast  shards=${plan.shards.join(',')}  write  (${plan.rule})`, ...plan.fetches.flatMap(describeFetch), ...indent(text)]
    }
    case 'everywhere':
      return [`Everywhere  ${access(plan.table !== undefined)}  (${plan.rule})`, ...indent(plan.text.pieces.join('<now>'))]
    case 'gather':
      return [`Gather  ${access(plan.writes)}  (${plan.rule})`, ...plan.fetches.flatMap(describeFetch), '  On Catalog', ...indent(plan.text).map((line) => `  ${line}`)]
    case 'catalog':
      return [`On Catalog  ${access(plan.writes)}  (${plan.rule})`, ...indent(plan.text)]
    case 'insert-rows': {
      const keys = plan.rows.map((row) => (row.key === undefined ? 'sequence' : describeKey(row.key)))
      const target = plan.relation.table?.kind === 'distributed' ? `  keys=${keys.slice(0, 5).join(', ')}${keys.length > 5 ? ', ...' : ''}` : ''
      return [`Insert Rows  ${plan.relation.table?.kind} "${plan.relation.name}"  rows=${plan.rows.length}${target}  (${plan.rule})`]
    }
    case 'insert-select':
      return [`Insert From Catalog  ${plan.relation.table?.kind} "${plan.relation.name}"  (${plan.rule})`, ...plan.fetches.flatMap(describeFetch), '  On Catalog', ...indent(plan.text).map((line) => `  ${line}`)]
    case 'workbench':
      return [`Workbench  write  (${plan.rule})`, ...plan.benches.map(describeBench), ...plan.views.map((view) => `  View  "${view.relation.name}" as ${view.temporary} ${view.text.replaceAll(/\s+/g, ' ')}`), ...plan.fetches.flatMap(describeFetch), '  On Catalog', ...indent(plan.text).map((line) => `  ${line}`)]
    case 'rekey':
      return [`Rekey  to ${describeKey(plan.newKey)}  (${plan.rule})`, ...[...describePlan(plan.stays), ...describePlan(plan.moves)].map((line) => `  ${line}`)]
    default:
      return unreachable(plan)
  }
}

const access = (writes: boolean) => (writes ? 'write' : 'read')
const indent = (text: string) => text.trim().split('\n').map((line) => `  ${line.trim()}`)

function describeRows(name: string, rows: RowCount | undefined): string {
  return rows === undefined ? '' : `  ${name} ${rows.kind === 'constant' ? rows.rows : `$${rows.number}`}`
}

function describeKeys(keys: ScatterPlan['keys']): string {
  return keys === undefined ? '' : `  keys=${keys.sources.map(describeKey).join(', ')}`
}

function describeKey(key: KeySource): string {
  return key.kind === 'constant' ? `'${key.text}'` : key.kind === 'parameter' ? `$${key.number}` : 'NULL'
}

function describeBench(bench: Bench): string {
  const rows = !bench.changes ? 'new rows' : bench.where.length === 0 ? 'all rows' : `rows where ${bench.where.join(' AND ')}`
  const keys = bench.keys === undefined ? '' : `  keys=${bench.keys.sources.map(describeKey).join(', ')}`
  return `  Bench  "${bench.relation.name}" in ${bench.temporary}  shards=${bench.shards.join(',')}${keys}  ${rows}`
}

function describeFetch(fetch: Fetch | QueryFetch): string[] {
  if ('query' in fetch) {
    return [`  Query  into ${fetch.temporary}  shards=${fetch.shards.join(',')}${describeKeys(fetch.keys)}  (${fetch.rule})`, ...indent(fetch.query.pieces.join('<now>')).map((line) => `  ${line}`)]
  }
  const where = fetch.where.length === 0 ? '' : `  where ${fetch.where.join(' AND ')}`
  return [`  Fetch  "${fetch.relation.name}" into ${fetch.temporary}  shards=${fetch.shards.join(',')}  columns=${fetch.columns.join(', ')}${where}`]
}
