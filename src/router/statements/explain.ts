/** EXPLAIN: the plan's tree, the shards and the SQL that each gets, and PostgreSQL's own plan of each part. */
import { refuse } from '../../base/errors.ts'
import { noArguments, serverById } from '../../executor/context.ts'
import type { ExecutionContext } from '../../executor/context.ts'
import { bucketOf, shardsFor } from '../../executor/key-bucket.ts'
import { RowsSink } from '../../executor/result-sink.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { withTransaction } from '../../executor/scatter.ts'
import { gatherRows } from '../../executor/gather.ts'
import { describePlan } from '../../planner/describe-plan.ts'
import { isDataStatement } from '../../planner/plan-statement.ts'
import type { QueryPlan } from '../../planner/plan.ts'
import { renderLeafText } from '../../planner/plan.ts'
import { renderTimedText } from '../../planner/rewrite.ts'
import { MessageWriter } from '../../protocol/message-writer.ts'
import { readDataRow, textField, writeTextRow } from '../../protocol/row-description.ts'
import type { AnyNode } from '../../sql/ast.ts'
import { parseStatements } from '../../sql/parse.ts'
import { nextToken, tokensWithDepth } from '../../sql/scanner.ts'
import type { Handler } from './run-statement.ts'

export const runExplain: Handler = async (statement, args, sink, session) => {
  const { source } = statement
  const options = (statement.node.ExplainStmt?.options ?? []) as AnyNode[]
  const head = source.between(0, queryStart(source.raw))
  const [query] = parseStatements(source.between(queryStart(source.raw), source.length))
  const snapshot = await session.currentSnapshot()
  const context = session.executionContext(snapshot, source.text)
  const planned = query !== undefined && isDataStatement(query) ? session.plan(query, args.types, snapshot).plan : undefined
  const analyze = options.some((option) => option.DefElem?.defname === 'analyze')
  if (analyze && (planned === undefined || !/^(one-shard|scatter|merge|gather|catalog)$/.test(planned.kind))) {
    throw refuse('EXPLAIN ANALYZE of this statement is not supported', 'EXPLAIN shows its plan without running it.')
  }
  if (planned === undefined || planned.kind === 'catalog') {
    const text = planned === undefined ? source.text : `${head} ${planned.text}`
    return runOnServer(session.services.catalog, { text, markers: [], writes: false }, args, sink, context)
  }
  const lines = [...describePlan(planned), ...(await serverPlans(planned, head, analyze, context))]
  sink.fields([textField('QUERY PLAN')])
  const writer = new MessageWriter()
  for (const line of lines) {
    writeTextRow(writer, [line])
    const row = writer.take()
    sink.row(row, 5, row.length)
  }
  return { kind: 'complete', tag: 'EXPLAIN' }
}

/** Where the statement behind EXPLAIN and its options begins. */
function queryStart(raw: string): number {
  const explain = nextToken(raw, 0)
  let at = explain?.end ?? 0
  const open = nextToken(raw, at)
  if (open !== undefined && raw[open.start] === '(') {
    for (const token of tokensWithDepth(raw, at)) if (token.depth === 0 && token.text === ')') return token.end
  }
  for (let token = open; token !== undefined && /^(analyze|analyse|verbose)$/i.test(raw.slice(token.start, token.end)); token = nextToken(raw, at)) at = token.end
  return at
}

/** PostgreSQL's own EXPLAIN of each part that runs on a server. */
async function serverPlans(plan: QueryPlan, head: string, analyze: boolean, context: ExecutionContext): Promise<string[]> {
  const explainOn = async (id: number, text: string, markers: readonly string[], writes: boolean): Promise<string[]> => {
    const rows = new RowsSink()
    const server = serverById(context, id)
    await runOnServer(server, { text: /^[\s(]/.test(text) ? head + text : `${head} ${text}`, markers, writes: writes && analyze }, noArguments, rows, context)
    return [`${server.name}:`, ...rows.rows.map((row) => `  ${readDataRow(row, 0)[0]?.toString() ?? ''}`)]
  }
  if (plan.kind === 'one-shard') {
    const { route } = plan
    if (route.kind === 'bucket' && route.key.kind === 'parameter') return []
    const owners = route.kind === 'bucket' ? (context.snapshot.groups.get(route.group)?.owners ?? []) : []
    const bucket = route.kind === 'bucket' ? await bucketOf(route.key, route.keyType, owners.length, noArguments, context) : undefined
    const shard = route.kind === 'shard' ? route.shard : bucket === undefined ? (context.snapshot.shards[0]?.id ?? 0) : (owners[bucket] ?? 0)
    return explainOn(shard, renderLeafText(plan.text, bucket), plan.markers, plan.writes)
  }
  if (plan.kind === 'scatter') {
    const text = renderTimedText(plan.text, undefined)
    const parts = async () => (await Promise.all(plan.shards.map((shard) => explainOn(shard, text, plan.markers, plan.writes)))).flat()
    return plan.writes && analyze ? withTransaction(context, parts) : parts()
  }
  if (plan.kind === 'merge') {
    const text = renderTimedText(plan.text, undefined)
    const shards = await shardsFor(plan, noArguments, context)
    return (await Promise.all(shards.map((shard) => explainOn(shard, text, plan.markers, false)))).flat()
  }
  if (plan.kind === 'gather' && analyze && !plan.writes) {
    return withTransaction(context, async () => {
      const parts: string[] = []
      await gatherRows(plan.fetches, noArguments, context, ({ fetch, rows, milliseconds }) => {
        parts.push(`${fetch.temporary}: rows=${rows} time=${milliseconds.toFixed(0)} ms`)
      })
      return [...parts, ...(await explainOn(0, plan.text, [], false))]
    })
  }
  return []
}

