/** Brings the rows of a query that shards answer into a temporary table on the catalog. */
import type { QueryFetch } from '../planner/plan.ts'
import { renderTimedText } from '../planner/rewrite.ts'
import { readDataRow } from '../protocol/row-description.ts'
import type { Lease } from '../transaction/transaction.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { encodeCopyLine } from './copy-format.ts'
import type { TableRead } from './gather.ts'
import { onlyParameters } from './open-reads.ts'
import { NullSink } from './result-sink.ts'
import { shardsFor } from './key-bucket.ts'
import { timedText } from './scatter.ts'
import type { CopyInput } from './statement-exchange.ts'
import { runStatement, sendCopyData, StatementFailure } from './statement-exchange.ts'

const names = (fetch: QueryFetch) => fetch.columns.map((_, i) => `c${i + 1}`).join(', ')

/** The temporary table. The shell has the query's tables, empty: PostgreSQL itself says there what types and collations the columns have. */
export async function createQueryTable(fetch: QueryFetch, lease: Lease, given: Arguments): Promise<void> {
  const args = onlyParameters(fetch.parameters, given)
  const drop = `DROP TABLE IF EXISTS pg_temp.${fetch.temporary}`
  const create = `CREATE TEMPORARY TABLE ${fetch.temporary} (${names(fetch)}) ON COMMIT DROP AS ${renderTimedText(fetch.query, undefined)} WITH NO DATA`
  await runStatement(lease.connection, { prelude: [drop], text: create, types: args.types, bind: args.bind }, new NullSink()).catch((failure: unknown) => {
    throw failure instanceof StatementFailure ? failure.error : failure
  })
}

export async function queryRead(fetch: QueryFetch, given: Arguments, context: ExecutionContext): Promise<TableRead> {
  const shards = await shardsFor(fetch, onlyParameters(fetch.parameters, given), context)
  const text = await timedText(fetch.query, [context.catalog.id, ...shards], context)
  return { text, shards, markers: fetch.markers, parameters: fetch.parameters, table: `pg_temp.${fetch.temporary}`, columns: names(fetch) }
}

/** Rows of a SELECT, in text format, as lines of COPY. */
export class RowsAsCopySink extends NullSink {
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
