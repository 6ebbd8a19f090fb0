/** EXPLAIN: the plan's tree, the shards and the SQL that each gets, and PostgreSQL's own plan of each part. */
import { refuse } from '../../base/errors.ts'
import { settleAll } from '../../base/settle-all.ts'
import type { Arguments, ExecutionContext, PartReport } from '../../executor/context.ts'
import { noArguments, serverById } from '../../executor/context.ts'
import { executePlan } from '../../executor/execute-plan.ts'
import { bucketOf, shardsFor } from '../../executor/key-bucket.ts'
import { NullSink, RowsSink } from '../../executor/result-sink.ts'
import { readAtOneMoment } from '../../executor/one-moment.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { withTransaction } from '../../executor/scatter.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
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
import type { Statement } from '../../sql/parse.ts'
import { beginningAnew } from '../begin-anew.ts'
import { checkReadOnly } from '../check-read-only.ts'
import type { ClientSink } from '../client-sink.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

export const runExplain: Handler = (statement, args, sink, session) => beginningAnew(sink, session, () => explainOnce(statement, args, sink, session))

async function explainOnce(statement: Statement, args: Arguments, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const { source } = statement
  const options = (statement.node.ExplainStmt?.options ?? []) as AnyNode[]
  const head = source.between(0, queryStart(source.raw))
  const [query] = parseStatements(source.between(queryStart(source.raw), source.length))
  const snapshot = await session.currentSnapshot()
  const context = session.executionContext(snapshot, source.text)
  const planned = query !== undefined && isDataStatement(query) ? session.plan(query, args.types, snapshot).plan : undefined
  const analyze = options.some(({ DefElem: option }) => option?.defname === 'analyze' && isTrue(option.arg as AnyNode | undefined))
  if (planned === undefined || planned.kind === 'catalog') {
    const text = planned === undefined ? source.text : `${head} ${planned.text}`
    return runOnServer(session.services.catalog, { text, markers: [], writes: false }, args, sink, context)
  }
  const format = options.map(({ DefElem: option }) => (option?.defname === 'format' ? (option.arg as AnyNode | undefined)?.String?.sval : undefined)).find((one) => one !== undefined) ?? 'text'
  if (!/^(text|json)$/i.test(format)) throw refuse(`EXPLAIN in format ${format} is not supported over shards`, 'Use TEXT or JSON.')
  const isJson = /^json$/i.test(format)
  if (analyze) checkReadOnly(planned, session.transaction)
  const measured = analyze && !/^(one-shard|scatter|merge)$/.test(planned.kind) && !(planned.kind === 'gather' && !planned.writes)
  const explain = () => serverPlans(planned, head, analyze, context)
  const parts = measured ? await runMeasured(planned, args, context) : analyze ? await readAtOneMoment(planned, args, context, explain) : await explain()
  const plan = describePlan(planned)
  const lines = isJson ? [asJson(plan, parts)] : [...plan, ...parts.flatMap(asText)]
  sink.fields([{ ...textField('QUERY PLAN'), typeOid: isJson ? jsonOid : textField('').typeOid }])
  const writer = new MessageWriter()
  for (const line of lines) {
    writeTextRow(writer, [line])
    const row = writer.take()
    sink.row(row, 5, row.length)
  }
  return { kind: 'complete', tag: 'EXPLAIN' }
}

const jsonOid = 114

/** An option without a value is on. */
function isTrue(value: AnyNode | undefined): boolean {
  return value === undefined || /^(on|true|1)$/i.test(value.String?.sval ?? String(value.Integer?.ival ?? value.Boolean?.boolval ?? 0))
}

/** One part of a plan: a server's own EXPLAIN of it, or what running it took. */
type Part = { readonly kind: 'explained'; readonly server: string; readonly lines: readonly string[] } | ({ readonly kind: 'measured' } & PartReport)

/** Runs the whole plan, as it would be without EXPLAIN; its rows go nowhere. */
async function runMeasured(plan: QueryPlan, args: Arguments, context: ExecutionContext): Promise<Part[]> {
  const parts: Part[] = []
  await executePlan(plan, { ...args, portal: '', rowsMax: 0 }, new NullSink(), { ...context, onPart: (part) => parts.push({ kind: 'measured', ...part }) })
  return parts
}

function asText(part: Part): string[] {
  if (part.kind === 'explained') return [`${part.server}:`, ...part.lines.map((line) => `  ${line}`)]
  return [`${part.server}: rows=${part.rows} time=${part.milliseconds} ms`, ...part.text.trim().split('\n').map((line) => `  ${line.trim()}`)]
}

/** As PostgreSQL's: a plan with those of the servers below it. */
function asJson([title = '', ...details]: readonly string[], parts: readonly Part[]): string {
  const plans = parts.flatMap((part): unknown[] => {
    if (part.kind === 'measured') return [{ 'Node Type': 'Statement', Server: part.server, Query: part.text, 'Actual Rows': part.rows, 'Actual Total Time': part.milliseconds }]
    const [{ Plan: plan, ...times }] = JSON.parse(part.lines.join('\n')) as [{ Plan: object }]
    return [{ ...plan, Server: part.server, ...times }]
  })
  return JSON.stringify([{ Plan: { 'Node Type': title, Details: details.map((line) => line.trim()), ...(plans.length === 0 ? {} : { Plans: plans }) } }], undefined, 2)
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
async function serverPlans(plan: QueryPlan, head: string, analyze: boolean, context: ExecutionContext): Promise<Part[]> {
  const explainOn = async (id: number, text: string, markers: readonly string[], writes: boolean): Promise<Part[]> => {
    const rows = new RowsSink()
    const server = serverById(context, id)
    await runOnServer(server, { text: /^[\s(]/.test(text) ? head + text : `${head} ${text}`, markers, writes: writes && analyze }, noArguments, rows, context)
    return [{ kind: 'explained', server: server.name, lines: rows.rows.map((row) => readDataRow(row, 0)[0]?.toString() ?? '') }]
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
    const parts = async () => (await settleAll(plan.shards.map((shard) => explainOn(shard, text, plan.markers, plan.writes)))).flat()
    return plan.writes && analyze ? withTransaction(context, parts) : parts()
  }
  if (plan.kind === 'merge') {
    const text = renderTimedText(plan.text, undefined)
    const shards = await shardsFor(plan, noArguments, context)
    return (await settleAll(shards.map((shard) => explainOn(shard, text, plan.markers, false)))).flat()
  }
  if (plan.kind === 'gather' && analyze && !plan.writes) {
    return withTransaction(context, async () => {
      const parts: Part[] = []
      await gatherRows(plan.fetches, noArguments, context, ({ fetch, rows, milliseconds }) => {
        parts.push({ kind: 'measured', server: fetch.temporary, text: 'query' in fetch ? 'rows of a query' : `rows of ${fetch.relation.name}`, rows, milliseconds })
      })
      return [...parts, ...(await explainOn(0, plan.text, [], false))]
    })
  }
  return []
}

