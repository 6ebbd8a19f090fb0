/** Brings the rows of a query that shards answer into a temporary table on the catalog. */
import { settleAll } from '../base/settle-all.ts'
import type { QueryFetch } from '../planner/plan.ts'
import { renderTimedText } from '../planner/rewrite.ts'
import { readDataRow } from '../protocol/row-description.ts'
import type { Lease } from '../transaction/transaction.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { serverById } from './context.ts'
import { encodeCopyLine } from './copy-format.ts'
import { CopySink, fillByCopy } from './gather.ts'
import { NullSink } from './result-sink.ts'
import { runOnServer } from './run-on-server.ts'
import { shardsFor } from './key-bucket.ts'
import { timedText } from './scatter.ts'
import type { CopyInput } from './statement-exchange.ts'
import { runStatement, sendCopyData, StatementFailure } from './statement-exchange.ts'

const textOid = 25

/** Gives the number of rows. */
export async function fetchQuery(fetch: QueryFetch, lease: Lease, given: Arguments, context: ExecutionContext): Promise<number> {
  const args = onlyParameters(fetch.parameters, given)
  const names = fetch.columns.map((_, i) => `c${i + 1}`).join(', ')
  const drop = `DROP TABLE IF EXISTS pg_temp.${fetch.temporary}`
  // The shell has the same tables, empty: PostgreSQL itself says there what types and collations the columns have.
  const create = `CREATE TEMPORARY TABLE ${fetch.temporary} (${names}) ON COMMIT DROP AS ${renderTimedText(fetch.query, undefined)} WITH NO DATA`
  await runStatement(lease.connection, { prelude: [drop], text: create, types: args.types, bind: args.bind }, new NullSink()).catch((failure: unknown) => {
    throw failure instanceof StatementFailure ? failure.error : failure
  })
  const shards = await shardsFor(fetch, args, context)
  const query = await timedText(fetch.query, [context.catalog.id, ...shards], context)
  // COPY takes no parameters.
  const asCopy = fetch.parameters.length === 0
  const statement = { text: asCopy ? `COPY (${query}) TO STDOUT` : query, markers: fetch.markers, writes: false }
  return fillByCopy(lease, `pg_temp.${fetch.temporary}`, names, (input) =>
    settleAll(shards.map((shard) => runOnServer(serverById(context, shard), statement, args, asCopy ? new CopySink(input) : new RowsAsCopySink(input), context))),
  )
}

/** The other parameters are there, since PostgreSQL counts them, but say nothing of their types. */
function onlyParameters(used: readonly number[], { types, bind }: Arguments): Arguments {
  const isUsed = (i: number) => used.includes(i + 1)
  return {
    types: used.length === 0 ? [] : types.map((type, i) => (isUsed(i) ? type : textOid)),
    bind: { ...bind, values: used.length === 0 ? [] : bind.values.map((value, i) => (isUsed(i) ? value : undefined)), parameterFormats: used.length === 0 ? [] : bind.parameterFormats, resultFormats: [] },
    keep: false,
    portal: '',
    rowsMax: 0,
  }
}

/** Rows of a SELECT, in text format, as lines of COPY. */
class RowsAsCopySink extends NullSink {
  private readonly input: CopyInput

  constructor(input: CopyInput) {
    super()
    this.input = input
  }

  override row(buffer: Buffer, start: number): boolean {
    sendCopyData(this.input, encodeCopyLine(readDataRow(buffer, start)))
    return !this.input.connection.isCongested
  }

  override whenDrained(resume: () => void): void {
    void this.input.connection.drained().then(resume)
  }
}
