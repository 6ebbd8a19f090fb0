/** Brings rows to the catalog: temporary tables there, filled by COPY from the shards. */
import { settleAll } from '../base/settle-all.ts'
import { qualified, quoteIdent } from '../base/quote.ts'
import type { Fetch, QueryFetch } from '../planner/plan.ts'
import { SqlError } from '../base/errors.ts'
import { formatOf } from '../protocol/frontend-reader.ts'
import { query } from '../shard/query.ts'
import { nextToken } from '../sql/scanner.ts'
import { SourceText } from '../sql/source-text.ts'
import { quoteLiteral } from '../base/quote.ts'
import type { Arguments, ExecutionContext, RouterRow } from './context.ts'
import { noArguments, serverById } from './context.ts'
import { encodeCopyLine } from './copy-format.ts'
import type { ShardRead } from './open-reads.ts'
import { isReadCommitted, onlyParameters, openCursors } from './open-reads.ts'
import { createQueryTable, queryRead, RowsAsCopySink } from './query-fetch.ts'
import { NullSink } from './result-sink.ts'
import { runOnServer } from './run-on-server.ts'
import type { CopyInput, StatementEnd } from './statement-exchange.ts'
import { endCopy, failCopy, sendCopyData, startCopyIn, StatementFailure } from './statement-exchange.ts'
import type { Translate } from './shell-names.ts'
import type { Lease } from '../transaction/transaction.ts'

export const analyzeRowsMin = 1000

/** What one fetch brought, for EXPLAIN ANALYZE. */
export interface FetchReport {
  readonly fetch: Fetch | QueryFetch
  readonly rows: number
  readonly milliseconds: number
}

/** Runs inside a transaction. Gives the translation of the temporary tables' OIDs into the user's tables'. */
export async function gatherRows(
  fetches: readonly (Fetch | QueryFetch)[],
  args: Arguments,
  context: ExecutionContext,
  report: (part: FetchReport) => void = () => undefined,
): Promise<Translate> {
  const lease = await catalogParticipant(context)
  const origins = new Map<number, Origins>()
  for (const fetch of fetches) await ('query' in fetch ? createQueryTable(fetch, lease, args) : createTable(fetch, lease))
  const reads: TableRead[] = []
  for (const fetch of fetches) reads.push('query' in fetch ? await queryRead(fetch, args, context) : tableRead(fetch, args))
  const cursors = needsOneMoment(reads, context) ? await openCursors(reads, args, context) : undefined
  for (const [i, fetch] of fetches.entries()) {
    const read = reads[i] as TableRead
    const began = context.clock.ticks()
    const own = 'query' in fetch || fetch.ofRouter === undefined ? [] : await context.routerRows(fetch.ofRouter)
    const rows = await fillByCopy(lease, read.table, read.columns, async (input) => {
      for (const row of own) sendCopyData(input, copyLine(row, 'query' in fetch ? [] : fetch.columns))
      await settleAll(read.shards.map((shard) => (cursors === undefined ? copyFrom(shard, read, args, input, context) : cursors.fetch(i, shard, new RowsAsCopySink(input)))))
    })
    if (!('query' in fetch) && fetch.primaryKey.length > 0) {
      await commandOn(lease, `ALTER TABLE pg_temp.${fetch.temporary} ADD PRIMARY KEY (${fetch.primaryKey.map(quoteIdent).join(', ')})`)
    }
    report({ fetch, rows, milliseconds: context.clock.ticks() - began })
    const answer = await query(lease.connection, `SELECT 'pg_temp.${fetch.temporary}'::regclass::oid::int8`)
    origins.set(Number(answer.rows[0]?.[0]), originsOf(fetch))
  }
  await cursors?.close()
  return (fields) =>
    fields.map((field) => {
      const columns = origins.get(field.tableOid)
      if (columns === undefined) return field
      const { tableOid, number } = columns[field.columnNumber - 1] ?? { tableOid: 0, number: 0 }
      return { ...field, tableOid, columnNumber: number }
    })
}

/** The user's table and column that each column of a temporary table is a copy of. */
type Origins = readonly { readonly tableOid: number; readonly number: number }[]

function originsOf(fetch: Fetch | QueryFetch): Origins {
  return 'query' in fetch ? fetch.columns : fetch.relation.columns.map((column) => ({ tableOid: fetch.relation.oid, number: column.number }))
}

/** A fetch's rows on the shards, and the temporary table that they go to. */
export interface TableRead extends ShardRead {
  readonly table: string
  readonly columns: string
}

/** Reads of one server in a READ COMMITTED transaction would each have a snapshot of their own. */
function needsOneMoment(reads: readonly TableRead[], context: ExecutionContext): boolean {
  if (!isReadCommitted(context)) return false
  const servers = reads.flatMap((read) => read.shards)
  const different = new Set(servers).size
  return servers.length > different || (context.consistency !== 'shard' && different > 1)
}

async function createTable({ temporary, relation }: Fetch, lease: Lease): Promise<void> {
  await commandOn(
    lease,
    `DROP TABLE IF EXISTS pg_temp.${temporary}; ` +
      `CREATE TEMPORARY TABLE ${temporary} ON COMMIT DROP AS SELECT * FROM ${qualified(relation.schema, relation.name)} WITH NO DATA`,
  )
}

function tableRead(fetch: Fetch, args: Arguments): TableRead {
  const columns = fetch.columns.map(quoteIdent).join(', ')
  const conditions = fetch.where.map((condition) => withValues(condition, args)).filter((condition) => condition !== undefined)
  const where = conditions.length === 0 ? '' : ` WHERE ${conditions.map((condition) => `(${condition})`).join(' AND ')}`
  const { relation } = fetch
  const text = fetch.source ?? `SELECT ${columns} FROM ${qualified(relation.schema, relation.name)}${where}`
  return { text, shards: fetch.shards, markers: fetch.markers, parameters: [], table: `pg_temp.${fetch.temporary}`, columns }
}

/** COPY takes no parameters. */
function copyFrom(shard: number, { text, markers, parameters }: TableRead, args: Arguments, input: CopyInput, context: ExecutionContext): Promise<StatementEnd> {
  const asCopy = parameters.length === 0
  const statement = { text: asCopy ? `COPY (${text}) TO STDOUT` : text, markers, writes: false }
  return runOnServer(serverById(context, shard), statement, asCopy ? noArguments : onlyParameters(parameters, args), asCopy ? new CopySink(input) : new RowsAsCopySink(input), context)
}

/** The catalog as a participant, its prelude done. Temporary tables in it can't be prepared. */
export async function catalogParticipant(context: ExecutionContext): Promise<Lease> {
  const lease = await context.transaction.lease(context.catalog)
  if (lease.prelude.length > 0) await commandOn(lease, lease.prelude.join('; '))
  if (lease.participant !== undefined) {
    lease.participant.fresh = false
    lease.participant.cannotPrepare = true
  }
  return { ...lease, prelude: [] }
}

async function commandOn(lease: Lease, text: string): Promise<void> {
  await query(lease.connection, text)
}

const copyLine = (row: RouterRow, columns: readonly string[]) => encodeCopyLine(columns.map((column) => (row[column] === undefined ? undefined : Buffer.from(row[column]))))

/** `send` sends COPY data; when it fails, so does the COPY. Gives the number of rows. */
export async function fillByCopy(lease: Lease, table: string, columns: string, send: (input: CopyInput) => Promise<unknown>): Promise<number> {
  const input = await copyInto(lease, `COPY ${table} (${columns}) FROM STDIN`)
  try {
    await send(input)
  } catch (error) {
    await failCopy(input, 'a shard failed').catch(() => undefined)
    throw error
  }
  const end = await endCopy(input).catch((failure: StatementFailure) => {
    throw failure.error
  })
  const rows = end.kind === 'complete' ? Number(end.tag.split(' ')[1]) : 0
  if (rows >= analyzeRowsMin) await commandOn(lease, `ANALYZE ${table}`)
  return rows
}

export async function copyInto(lease: Lease, text: string): Promise<CopyInput> {
  try {
    return await startCopyIn(lease.connection, { prelude: lease.prelude, text }, new NullSink())
  } catch (failure) {
    throw failure instanceof StatementFailure ? failure.error : failure
  }
}

/** Rows that come out of one server go into another; when the other is slow, the first is not read. */
export class CopySink extends NullSink {
  private readonly input: CopyInput

  constructor(input: CopyInput) {
    super()
    this.input = input
  }

  override copyData(buffer: Buffer, start: number, end: number): boolean {
    sendCopyData(this.input, buffer, start, end)
    return !this.input.connection.isCongested
  }

  override whenDrained(resume: () => void): void {
    void this.input.connection.drained().then(resume)
  }
}

const typeNames: Readonly<Record<number, string>> = {
  16: 'bool', 20: 'int8', 21: 'int2', 23: 'int4', 25: 'text', 700: 'float4', 701: 'float8', 1042: 'bpchar', 1043: 'varchar',
  1082: 'date', 1114: 'timestamp', 1184: 'timestamptz', 1700: 'numeric', 2950: 'uuid',
}

/** A condition with its parameters as constants; undefined when one can't be written, and then the condition is left out. */
export function withValues(condition: string, args: Arguments): string | undefined {
  const source = new SourceText(condition)
  const edits = []
  for (let token = nextToken(source.raw, 0); token !== undefined; token = nextToken(source.raw, token.end)) {
    if (token.kind !== 'parameter') continue
    const index = Number(source.raw.slice(token.start + 1, token.end)) - 1
    const type = typeNames[args.types[index] ?? 0]
    const value = args.bind.values[index]
    if (type === undefined || index >= args.bind.values.length) return undefined
    if (value !== undefined && formatOf(args.bind.parameterFormats, index) !== 0) return undefined
    edits.push({ start: token.start, end: token.end, text: value === undefined ? `NULL::${type}` : `${quoteLiteral(value.toString())}::${type}` })
  }
  return source.edited(edits)
}

export function refuseSuspended(end: { kind: string; tag?: string }): string {
  if (end.kind === 'complete') return end.tag ?? ''
  throw new SqlError('XX000', 'a statement ended without a command tag')
}
