/**
 * Reads of one statement in a READ COMMITTED transaction, which has no snapshot of its own that they could share.
 *
 * A portal's snapshot is that of its Bind. So the portals of all servers are bound while the gate is held, where the session wants to see commits over
 * several servers whole, and executed after it. Several reads of one server (a gather of two tables) are cursors that one function opens: all of
 * them have the snapshot of its call. They stay until the transaction's end where an attempt is given up.
 */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { quoteLiteral } from '../base/quote.ts'
import { settleAll } from '../base/settle-all.ts'
import { nextToken } from '../sql/scanner.ts'
import { SourceText } from '../sql/source-text.ts'
import { query } from '../shard/query.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { noArguments, serverById } from './context.ts'
import type { ResultSink } from './result-sink.ts'
import { NullSink } from './result-sink.ts'
import type { ServerStatement } from './run-on-server.ts'
import { runOnServer } from './run-on-server.ts'
import type { StatementEnd } from './statement-exchange.ts'

/** Each statement of the transaction sees what is committed by then. */
export function isReadCommitted({ transaction }: ExecutionContext): boolean {
  return transaction.active && transaction.isolation.startsWith('read')
}

type Read = (shard: number, sink: ResultSink) => Promise<StatementEnd>

/** How to read a statement's rows of each of these shards, now that their snapshots are of one moment, if the session wants that. */
export async function openReads(statement: ServerStatement, shards: readonly number[], args: Arguments, context: ExecutionContext): Promise<Read> {
  if (!isReadCommitted(context) || context.consistency === 'shard' || shards.length < 2 || statement.locks === true) {
    return (shard, sink) => runOnServer(serverById(context, shard), statement, args, sink, context)
  }
  let portal = ''
  await atTheGate(shards, context, async () => {
    portal = `pgherd_r${context.clock.randomHex(8)}`
    await settleAll(shards.map((shard) => runOnServer(serverById(context, shard), { ...statement, portalStep: 'open' }, { ...args, portal }, new NullSink(), context)))
  })
  return (shard, sink) => runOnServer(serverById(context, shard), { ...statement, portalStep: 'execute' }, { ...args, portal }, sink, context)
}

/** One of several reads of shards that belong to one statement. */
export interface ShardRead {
  /** A SELECT; it may have parameters. */
  readonly text: string
  readonly shards: readonly number[]
  readonly markers: readonly string[]
  /** The numbers of its parameters. */
  readonly parameters: readonly number[]
}

export interface OpenCursors {
  /** Gives all rows of the read of that number, in text format. */
  fetch(read: number, shard: number, sink: ResultSink): Promise<StatementEnd>
  close(): Promise<void>
}

/** Opens a cursor for each read on each of its shards: all on one server with one snapshot, and those of all at one moment, if the session wants that. */
export async function openCursors(reads: readonly ShardRead[], given: Arguments, context: ExecutionContext): Promise<OpenCursors> {
  const servers = [...new Set(reads.flatMap((read) => read.shards))]
  let prefix = ''
  const openOn = (server: number) => {
    const own = reads.flatMap((read, i) => (read.shards.includes(server) ? [{ read, name: `${prefix}_${i}` }] : []))
    const names = own.map(({ name }) => quoteLiteral(name)).join(', ')
    const text = `SELECT pgherd.open_cursors(ARRAY[${names}], ARRAY[${own.map(({ read }) => withValues(read.text, given)).join(', ')}])`
    const markers = [...new Set(own.flatMap(({ read }) => read.markers))]
    const args = onlyParameters(own.flatMap(({ read }) => read.parameters), given)
    return runOnServer(serverById(context, server), { text, markers, writes: false }, args, new NullSink(), context)
  }
  const open = async () => {
    prefix = `pgherd_r${context.clock.randomHex(8)}`
    await settleAll(servers.map(openOn))
  }
  if (context.consistency === 'shard' || servers.length < 2) await open()
  else await atTheGate(servers, context, open)
  // Also where that is a replica.
  const whereItIs = { ...context, replicas: undefined }
  const closeOn = async (server: number) => {
    const names = reads.flatMap((read, i) => (read.shards.includes(server) ? [`CLOSE ${prefix}_${i}`] : []))
    const connection = context.transaction.participants.get(server)?.connection
    if (connection !== undefined) await query(connection, names.join('; '))
  }
  return {
    fetch: (read, shard, sink) => runOnServer(serverById(context, shard), { text: `FETCH ALL FROM ${prefix}_${read}`, markers: [], writes: false }, noArguments, sink, whereItIs),
    close: async () => {
      await settleAll(servers.map(closeOn))
    },
  }
}

const firstUserOid = 16384

/** An expression for the query's text with its parameters' values in it: the server itself writes them as literals of their types. */
function withValues(text: string, { types }: Arguments): string {
  const source = new SourceText(text)
  const parts: string[] = []
  let at = 0
  for (let token = nextToken(source.raw, 0); token !== undefined; token = nextToken(source.raw, token.end)) {
    if (token.kind !== 'parameter') continue
    const parameter = source.between(token.start, token.end)
    const type = types[Number(parameter.slice(1)) - 1] ?? 0
    parts.push(quoteLiteral(source.between(at, token.start)))
    // A user's own type has another number on each server: the literal finds its type from where it stands, as the parameter would.
    if (type === 0 || type >= firstUserOid) parts.push(`pg_catalog.quote_nullable(${parameter}::pg_catalog.text)`)
    else parts.push(`pg_catalog.quote_nullable(${parameter})`, `'::'`, `pg_catalog.pg_typeof(${parameter})::pg_catalog.text`)
    at = token.end
  }
  return [...parts, quoteLiteral(source.between(at, source.length))].join(' || ')
}

const textOid = 25

/** The other parameters are there, since PostgreSQL counts them, but say nothing of their types. */
export function onlyParameters(used: readonly number[], { types, bind }: Arguments): Arguments {
  const isUsed = (i: number) => used.includes(i + 1)
  return {
    types: used.length === 0 ? [] : types.map((type, i) => (isUsed(i) ? type : textOid)),
    bind: { ...bind, values: used.length === 0 ? [] : bind.values.map((value, i) => (isUsed(i) ? value : undefined)), parameterFormats: used.length === 0 ? [] : bind.parameterFormats, resultFormats: [] },
    keep: false,
    portal: '',
    rowsMax: 0,
  }
}

/** Does `open` while no commit over several servers is in between. What it did in an attempt that was not, is not used. */
async function atTheGate(servers: readonly number[], context: ExecutionContext, open: () => Promise<void>): Promise<void> {
  await beginOn(servers, context)
  for (let tried = 0; !(await context.gate.through(context.database, open)); tried++) {
    if (tried === limits.gateRetriesMax) throw noMoment()
  }
}

export function noMoment(): SqlError {
  return new SqlError('40001', 'could not serialize access: no moment was found to read all servers at', { hint: 'Try the transaction again.' })
}

/** The transaction's connections to these servers, before the gate is held: it must not be held while one is waited for. */
export async function beginOn(servers: readonly number[], context: ExecutionContext): Promise<void> {
  await settleAll(
    servers.map(async (id) => {
      const lease = await context.transaction.lease(serverById(context, id))
      try {
        if (lease.prelude.length > 0) await query(lease.connection, lease.prelude.join('; '))
      } finally {
        context.transaction.release(lease)
      }
    }),
  )
}
