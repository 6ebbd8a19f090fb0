/** One statement of a plan on one server: lease, prelude, markers, and what an error means. */
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import { withSessionPid } from '../planner/session-facts.ts'
import { query } from '../shard/query.ts'
import type { Lease } from '../transaction/transaction.ts'
import type { TimeoutName } from '../shard/timeouts.ts'
import { timeoutsHidden, timeoutsShown } from '../shard/timeouts.ts'
import { isOutdatedStatement, statementKey } from '../shard/requests.ts'
import type { Arguments, ExecutionContext } from './context.ts'
import { noArguments } from './context.ts'
import { readOnReplica } from './read-replica.ts'
import type { ResultSink } from './result-sink.ts'
import type { Translate } from './shell-names.ts'
import type { PortalStep, StatementEnd, StatementRequest } from './statement-exchange.ts'
import { runStatement, StatementFailure } from './statement-exchange.ts'
import { timeSetting } from './transaction-time.ts'

export interface ServerStatement {
  readonly text: string
  readonly markers: readonly string[]
  readonly writes: boolean
  /** The text names leaves: an undefined table may be one that has moved. */
  readonly namesLeaves?: boolean
  /** Of the tables whose leaves it names. A replica that has not heard of the layout may have leaves that are being filled. */
  readonly leafMarkers?: readonly string[]
  /** It reads a row or none, and holds nothing: what ends it before that row has come does not end it for the client. */
  readonly mayRepeat?: boolean
  /** The session keeps the connection (on the catalog alone). */
  readonly pins?: boolean
  /** Uses temporary tables or notifications. */
  readonly cannotPrepare?: boolean
  readonly translate?: Translate
  /** Rows are locked, at their newest versions. */
  readonly locks?: boolean
  readonly portalStep?: PortalStep
  /** A SET or RESET: what the connection then has is not known here. */
  readonly changesSettings?: boolean
  /** Runs in front, in the same transaction, and sets these for it alone. */
  readonly before?: string
  readonly hides?: readonly TimeoutName[]
}

/** The plan relied on a layout that is no longer there. Nothing has run; it may be planned and tried again. */
export class StaleLayout {
  readonly error: SqlError
  /** In a block: whatever else of the statement had run was undone. */
  isUndone = false
  constructor(error: SqlError) {
    this.error = error
  }
}

/** Some of the statement has run on a layout that is no longer there. */
export function tablesMoved(): SqlError {
  return new SqlError('40001', 'could not serialize access: the tables were moved during this statement', { hint: 'Try again.' })
}

export async function runOnServer(
  server: ServerAddress,
  given: ServerStatement,
  args: Arguments,
  sink: ResultSink,
  context: ExecutionContext,
): Promise<StatementEnd> {
  // Plans are shared by sessions: the number of the one that runs is put in last.
  const statement = server.id === catalogId ? { ...given, text: withSessionPid(given.text, context.sessionPid) } : given
  const translate =
    statement.translate ??
    (server.id === catalogId ? undefined : (context.names.translation(server, context.snapshot) ?? (await context.names.loadTranslation(server, context.snapshot, context.user, context.transaction.waits))))
  const setting = statement.writes && context.snapshot.timeTriggers ? await timeSetting(server, context) : undefined
  if (context.replicas !== undefined && !statement.writes && server.id !== catalogId) {
    const onReplica = { ...statement, markers: [...statement.markers, ...(statement.leafMarkers ?? [])] }
    const end = await readOnReplica(server, (lease) => runLeased(lease, onReplica), context)
    if (end !== undefined) return end
  }
  for (let repeated = 0; ; repeated++) {
    const lease = await context.transaction.lease(server)
    try {
      return await runLeased(lease)
    } catch (failure) {
      if (repeated === limits.leaseRetriesMax || !mayRepeat(failure, lease, statement)) throw await explainFailure(failure, server, statement, lease, context)
    } finally {
      noteUse(lease, statement, context)
      if (statement.changesSettings === true) lease.connection.settings = undefined
      if (statement.pins === true && !lease.connection.isLost) context.transaction.pin(lease.connection)
      context.transaction.release(lease)
    }
  }

  async function runLeased(lease: Lease, asked = statement): Promise<StatementEnd> {
    const { timeouts } = context.transaction
    const shown = statement.before ?? timeoutsShown(statement.text, timeouts)
    const before = [...(setting ?? []), ...(shown === undefined ? [] : [shown])]
    const told = before.length === 0 ? lease : { ...lease, prelude: [...lease.prelude, ...before] }
    const began = context.onPart === undefined ? 0 : context.clock.ticks()
    const end = await runStatement(lease.connection, requestFor(asked, args, told, translate, context), sink)
    if (shown !== undefined && lease.participant !== undefined) await query(lease.connection, timeoutsHidden(statement.hides ?? timeouts.keys()))
    context.onPart?.({ server: server.name, text: statement.text, rows: rowsOf(end), milliseconds: context.clock.ticks() - began })
    if (end.kind === 'suspended') lease.participant?.portals.add(args.portal)
    return end
  }
}

/** A read that nothing has come of, outside of a transaction: its connection broke or held it as it was before a change of the schema, or it stood in the way of one. */
function mayRepeat(failure: unknown, { connection, participant }: Lease, statement: ServerStatement): boolean {
  if (!(failure instanceof StatementFailure) || failure.sentRows || statement.writes || participant !== undefined) return false
  return isOutdatedStatement(failure.error) || (statement.mayRepeat === true && (connection.isLost || failure.error.code === deadlockDetected))
}

/** The count in a command's tag. */
const rowsOf = (end: StatementEnd) => (end.kind === 'complete' ? Number(/\d+$/.exec(end.tag)?.[0] ?? 0) : 0)

/** A marker's name on a shard. */
export function markerThere(marker: string, shard: number, { snapshot }: ExecutionContext): string {
  return snapshot.markers.get(marker)?.get(shard) ?? marker
}

export function requestFor(statement: ServerStatement, args: Arguments, lease: Lease, translate: Translate | undefined, context: ExecutionContext): StatementRequest {
  const shard = lease.connection.server.id
  const { portalStep } = statement
  if (portalStep === 'execute') return { prelude: lease.prelude, text: '', portal: args.portal, portalStep, ...(translate === undefined ? {} : { translate }) }
  const prelude = [...lease.prelude, ...statement.markers.map((marker) => `SELECT FROM ${markerThere(marker, shard, context)} LIMIT 0`)]
  const { types, bind } = shard === catalogId ? args : argumentsOnShards(args, statement.text)
  return {
    prelude,
    text: statement.text,
    types,
    bind,
    keep: args.keep ? statementKey(context.snapshot.version, statement.text, types) : undefined,
    isSimple: prelude.length === 0 && args === noArguments && portalStep === undefined,
    portal: args.portal,
    portalStep,
    rowsMax: args.rowsMax,
    ...(translate === undefined ? {} : { translate }),
  }
}

export function noteUse({ participant, connection }: Lease, statement: ServerStatement, { transaction }: ExecutionContext): void {
  if (statement.writes) transaction.written.add(connection.server.id)
  if (participant === undefined) return
  participant.fresh = false
  participant.wrote ||= statement.writes
  participant.cannotPrepare ||= statement.cannotPrepare === true
}

/** A user's own type has another OID on each server: PostgreSQL finds it from where the parameter stands. */
export function typesOnShards(types: readonly number[]): readonly number[] {
  return types.some((type) => type >= firstUserOid) ? types.map((type) => (type >= firstUserOid ? 0 : type)) : types
}

/** One that stands nowhere, since its row of an INSERT went to another shard, is sent as a NULL of some type. */
function argumentsOnShards(args: Arguments, text: string): Pick<Arguments, 'types' | 'bind'> {
  const types = typesOnShards(args.types)
  if (types === args.types) return args
  const isUnused = types.map((type, i) => type === 0 && !new RegExp(`\\$${i + 1}(?!\\d)`).test(text))
  if (!isUnused.includes(true)) return { types, bind: args.bind }
  const values = args.bind.values.map((value, i) => (isUnused[i] === true ? undefined : value))
  return { types: types.map((type, i) => (isUnused[i] === true ? textOid : type)), bind: { ...args.bind, values } }
}

const textOid = 25
const firstUserOid = 16384
const undefinedTable = '42P01'
const connectionFailure = '08006'
const deadlockDetected = '40P01'

/** The error to throw for a failure: StaleLayout when trying again can help, else the SQL error in the user's names. */
function withPosition(error: SqlError, position: string | undefined): SqlError {
  const { position: _servers, ...fields } = error.fields
  return new SqlError(fields.code, fields.message, { ...fields, position })
}

/**
 * Where a place in a server's text is in the client's: what stands before all edits, and behind them, can be told; a place in
 * between cannot, and is left out.
 */
export function clientPosition(clientText: string, serverText: string, position: string | undefined): string | undefined {
  if (position === undefined || clientText === '' || clientText === serverText) return position
  const [client, server] = [[...clientText], [...serverText]]
  const at = Number(position) - 1
  let before = 0
  while (before < client.length && client[before] === server[before]) before++
  if (at < before) return position
  let after = 0
  while (after < client.length - before && after < server.length - before && client.at(-1 - after) === server.at(-1 - after)) after++
  return at >= server.length - after ? String(at - server.length + client.length + 1) : undefined
}

export async function explainFailure(
  failure: unknown,
  server: ServerAddress,
  statement: ServerStatement,
  lease: Lease,
  context: ExecutionContext,
): Promise<unknown> {
  if (!(failure instanceof StatementFailure)) return failure
  const { error } = failure
  if (statement.writes && lease.participant === undefined && lease.connection.isLost && error.code === connectionFailure) {
    return new SqlError('08007', `the connection to ${server.name} broke: it is not known whether the statement was done`, { hint: 'Look whether it was before you run it again.' })
  }
  const mayBeStale = error.code === undefinedTable && !failure.sentRows && (failure.inPrelude || statement.namesLeaves === true)
  if (mayBeStale) {
    const { isOfOneStatement, canUndoStatement } = context.transaction
    if (lease.participant === undefined || isOfOneStatement || canUndoStatement) return new StaleLayout(error)
    if (lease.participant.fresh) {
      await context.transaction.dropFresh(lease.participant)
      return new StaleLayout(error)
    }
    return new SqlError('40001', 'could not serialize access: the tables were moved during this transaction', { hint: 'Try the transaction again.' })
  }
  const translated = await context.names.translateError(error, server, context.snapshot, context.user)
  return withPosition(translated, clientPosition(context.text, statement.text, error.fields.position))
}
