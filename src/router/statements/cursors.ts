/** DECLARE, FETCH, MOVE, CLOSE: a cursor is on the one server that has its rows, or on the catalog over gathered ones. */
import { refuse, SqlError } from '../../base/errors.ts'
import type { Arguments } from '../../executor/context.ts'
import { serverById } from '../../executor/context.ts'
import { gatherRows } from '../../executor/gather.ts'
import { withOwnNames } from '../../executor/own-temporaries.ts'
import { bucketOf } from '../../executor/key-bucket.ts'
import { readAtOneMoment } from '../../executor/one-moment.ts'
import { runOnServer } from '../../executor/run-on-server.ts'
import { catalogText, oneShardText } from '../../executor/transaction-time.ts'
import type { StatementEnd } from '../../executor/statement-exchange.ts'
import { runStatement } from '../../executor/statement-exchange.ts'
import { withTransaction } from '../../executor/scatter.ts'
import { planStatement } from '../../planner/plan-statement.ts'
import { parseStatements } from '../../sql/parse.ts'
import { findKeyword } from '../../sql/scanner.ts'
import { beginningAnew } from '../begin-anew.ts'
import type { ClientSink } from '../client-sink.ts'
import type { Session } from '../session.ts'
import type { Handler } from './run-statement.ts'

const cursorHold = 0x20 // CURSOR_OPT_HOLD (parsenodes.h)

export const declareCursor: Handler = async (statement, args, sink, session) => {
  const node = statement.node.DeclareCursorStmt
  const name = node?.portalname ?? ''
  const hold = ((node?.options ?? 0) & cursorHold) !== 0
  const { transaction } = session
  if (!hold && !transaction.active) throw new SqlError('25P01', 'DECLARE CURSOR can only be used in transaction blocks')
  if (session.cursors.has(name) || session.extended.hasPortal(name)) throw new SqlError('42P03', `cursor "${name}" already exists`)
  const { source } = statement
  const keyword = findKeyword(source.raw, 'for')
  const [query] = parseStatements(source.between(keyword?.end ?? 0, source.length))
  if (query === undefined) throw refuse('cannot read the query of the cursor')
  const head = source.between(0, keyword?.end ?? 0)
  // As the client has made them: one of the statement itself, where its tables may be on their way, is gone when it has ended.
  const declaredAt = transaction.journalLength
  return beginningAnew(sink, session, async () => {
    const snapshot = await session.currentSnapshot()
    const { plan } = planStatement(query, session.nameContext(snapshot, args.types), hold ? 'catalog' : 'one-server')
    const context = session.executionContext(snapshot, source.text)
    const declare = async () => {
      if (plan.kind === 'one-shard') {
        const { route, markers } = plan
        const owners = route.kind === 'bucket' ? (snapshot.groups.get(route.group)?.owners ?? []) : []
        const bucket = route.kind === 'bucket' ? await bucketOf(route.key, route.keyType, owners.length, args, context) : undefined
        const server = route.kind === 'shard' ? route.shard : bucket === undefined ? (snapshot.shards[0]?.id ?? 0) : (owners[bucket] ?? 0)
        session.cursors.set(name, { server, hold, declaredAt, text: source.text })
        return runOnServer(serverById(context, server), { text: joined(head, await oneShardText(plan, bucket, server, context)), markers, writes: false }, own(args), sink, context)
      }
      let text = plan.kind === 'catalog' ? await catalogText(plan, context) : ''
      if (plan.kind === 'gather') {
        // Tables of its own: those of a later gather must not replace what an open cursor reads.
        const prefix = `pgherd_c${session.newCursorNumber()}_`
        const own = withOwnNames(plan.fetches, await catalogText(plan, context), prefix)
        await gatherRows(own.fetches, args, context)
        text = own.text
      }
      session.cursors.set(name, { server: 0, hold, declaredAt, text: source.text })
      const declared = { text: joined(head, text), markers: [], writes: false, cannotPrepare: true, pins: hold }
      return runOnServer(session.services.catalog, declared, own(args), sink, context)
    }
    return readAtOneMoment(plan, args, context, () => withTransaction(context, declare))
  })
}

export const fetchCursor: Handler = async (statement, args, sink, session) => {
  const name = statement.node.FetchStmt?.portalname ?? ''
  const cursor = session.cursors.get(name)
  if (cursor === undefined) throw new SqlError('34000', `cursor "${name}" does not exist`)
  const context = session.executionContext(await session.currentSnapshot())
  return runOnServer(serverById(context, cursor.server), { text: statement.source.text, markers: [], writes: false }, args, sink, context)
}

export const closeCursor: Handler = async (statement, args, sink, session) => {
  const name = statement.node.ClosePortalStmt?.portalname
  const context = session.executionContext(await session.currentSnapshot())
  const close = (server: number) =>
    runOnServer(serverById(context, server), { text: statement.source.text, markers: [], writes: false }, args, sink, context)
  if (name === undefined) {
    for (const server of new Set([...session.cursors.values()].map((cursor) => cursor.server))) await close(server)
    session.cursors.clear()
    return { kind: 'complete', tag: 'CLOSE CURSOR ALL' }
  }
  const cursor = session.cursors.get(name)
  if (cursor === undefined && (await session.extended.closePortal(name))) return { kind: 'complete', tag: 'CLOSE CURSOR' }
  if (cursor === undefined) throw new SqlError('34000', `cursor "${name}" does not exist`)
  session.cursors.delete(name)
  return close(cursor.server)
}

/** Positions in the joined text must be those in the client's. */
const joined = (head: string, query: string) => (/^[\s(]/.test(query) ? head + query : `${head} ${query}`)

/** A cursor is a portal too: Execute gives its next rows. */
export async function executeCursor(name: string, rowsMax: number, sink: ClientSink, session: Session): Promise<StatementEnd> {
  const { transaction } = session
  const server = serverById(session.executionContext(await session.currentSnapshot()), session.cursors.get(name)?.server ?? 0)
  const lease = await transaction.lease(server)
  try {
    return await runStatement(lease.connection, { prelude: lease.prelude, text: '', portal: name, rowsMax }, sink)
  } finally {
    transaction.release(lease)
  }
}

/** DECLARE takes the parameters of its query; it gives no rows itself. */
function own(args: Arguments): Arguments {
  return { ...args, keep: false, portal: '', rowsMax: 0, bind: { ...args.bind, resultFormats: [] } }
}
