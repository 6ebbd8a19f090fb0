/**
 * The extended query protocol: Parse, Bind, Describe, Execute, Close, Flush.
 *
 * Statements and portals live here, in the session, not on a server: so they survive pooling. What a server needs of
 * them goes out with Execute. Types of parameters that the client leaves open are asked from the shell, which has the
 * user's schema.
 */
import { SqlError } from '../base/errors.ts'
import type { Arguments } from '../executor/context.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import { runStatement } from '../executor/statement-exchange.ts'
import { formatOf, readBind, readExecute, readParse, readTarget } from '../protocol/frontend-reader.ts'
import { Frontend } from '../protocol/message-types.ts'
import { writeRowDescription } from '../protocol/row-description.ts'
import { walk } from '../sql/ast.ts'
import type { Statement } from '../sql/parse.ts'
import type { BindValues } from '../shard/requests.ts'
import type { ClientSink } from './client-sink.ts'
import type { ClientMessage } from './client-stream.ts'
import { describeCursor, describeStatement } from './describe-statement.ts'
import type { StatementDescription } from './plan-cache.ts'
import type { Session } from './session.ts'

interface PreparedStatement {
  /** Undefined for an empty text. */
  readonly statement: Statement | undefined
  readonly types: readonly number[]
  description: StatementDescription | undefined
}

interface Portal {
  readonly prepared: PreparedStatement
  readonly bind: BindValues
  /** The name of the portal on the server, once it runs there in parts. */
  readonly serverName: string
  started: boolean
  done: boolean
}

export class ExtendedProtocol {
  private readonly session: Session
  private readonly statements = new Map<string, PreparedStatement>()
  private readonly portals = new Map<string, Portal>()
  private describeNext: Portal | undefined

  constructor(session: Session) {
    this.session = session
  }

  /** A simple Query destroys the unnamed statement and portal. */
  forgetUnnamed(): void {
    this.statements.delete('')
    this.portals.delete('')
  }

  closePortals(): void {
    this.portals.clear()
  }

  closeAll(): void {
    this.statements.clear()
    this.portals.clear()
  }

  hasStatement(name: string): boolean {
    return this.statements.has(name)
  }

  async checkExecute(prepared: PreparedStatement): Promise<void> {
    await this.checkResultType(prepared)
  }

  statement(name: string): PreparedStatement | undefined {
    return this.statements.get(name)
  }

  addStatement(name: string, statement: Statement, description: StatementDescription): void {
    this.statements.set(name, { statement, types: description.parameterTypes, description })
  }

  deallocate(name: string): boolean {
    return this.statements.delete(name)
  }

  async handle(message: ClientMessage): Promise<void> {
    const { out } = this.session.stream
    switch (message.type) {
      case Frontend.parse:
        return this.parse(message.payload)
      case Frontend.bind:
        return this.bind(message.payload)
      case Frontend.describe:
        return this.describe(message.payload)
      case Frontend.execute:
        return this.execute(message.payload)
      case Frontend.close: {
        const { kind, name } = readTarget(message.payload)
        if (kind === 'S') this.statements.delete(name)
        else this.portals.delete(name)
        out.begin('3').end()
        return
      }
      case Frontend.flush:
        this.session.stream.flush()
        return
      case Frontend.functionCall:
        throw new SqlError('0A000', 'the function call message is not supported', { hint: 'Call the function in a SELECT.' })
      case Frontend.copyData:
      case Frontend.copyDone:
      case Frontend.copyFail:
        return // left over from a COPY that failed
      default:
        throw new SqlError('08P01', `invalid frontend message type ${message.type}`, { severity: 'FATAL' })
    }
  }

  private async parse(payload: Buffer): Promise<void> {
    const { name, text, parameterTypes } = readParse(payload)
    if (name !== '' && this.statements.has(name)) throw new SqlError('42P05', `prepared statement "${name}" already exists`)
    const parsed = this.session.services.plans.parse(text)
    if (parsed.length > 1) throw new SqlError('42601', 'cannot insert multiple commands into a prepared statement')
    const [statement] = parsed
    if (statement !== undefined) this.session.checkNotFailed(statement)
    const prepared: PreparedStatement = { statement, types: parameterTypes, description: undefined }
    const count = statement === undefined ? 0 : parameterCount(statement)
    const open = Array.from({ length: count }, (_, i) => parameterTypes[i] ?? 0).includes(0)
    if (statement !== undefined && open) {
      const description = await describeStatement(this.session, statement, parameterTypes)
      this.statements.set(name, { statement, types: description.parameterTypes, description })
    } else this.statements.set(name, prepared)
    this.session.stream.out.begin('1').end()
  }

  private bind(payload: Buffer): void {
    const { portal, statement, parameterFormats, values, resultFormats } = readBind(payload)
    const prepared = this.statements.get(statement)
    if (prepared === undefined) {
      throw new SqlError('26000', statement === '' ? 'unnamed prepared statement does not exist' : `prepared statement "${statement}" does not exist`)
    }
    if (prepared.statement !== undefined) this.session.checkNotFailed(prepared.statement)
    if (portal !== '' && this.portals.has(portal)) throw new SqlError('42P03', `cursor "${portal}" already exists`)
    const count = prepared.statement === undefined ? 0 : Math.max(parameterCount(prepared.statement), prepared.types.length)
    if (values.length !== count) {
      throw new SqlError('08P01', `bind message supplies ${values.length} parameters, but prepared statement "${statement}" requires ${count}`)
    }
    this.portals.set(portal, {
      prepared,
      bind: { parameterFormats, values, resultFormats },
      serverName: `p${portal === '' ? '' : `_${portal}`}`,
      started: false,
      done: false,
    })
    this.session.stream.out.begin('2').end()
  }

  private async describe(payload: Buffer): Promise<void> {
    const { kind, name } = readTarget(payload)
    const { out } = this.session.stream
    if (kind === 'S') {
      const prepared = this.statements.get(name)
      if (prepared === undefined) throw new SqlError('26000', `prepared statement "${name}" does not exist`)
      const description = await this.descriptionOf(prepared)
      out.begin('t').int16(description.parameterTypes.length)
      for (const type of description.parameterTypes) out.int32(type)
      out.end()
      if (description.fields === undefined) out.begin('n').end()
      else writeRowDescription(out, description.fields)
      return
    }
    const portal = this.portals.get(name)
    const cursor = this.session.cursors.get(name)
    if (portal === undefined && cursor !== undefined) {
      // A cursor of DECLARE is a portal too.
      const fields = await describeCursor(this.session, name, cursor.server)
      if (fields === undefined) out.begin('n').end()
      else writeRowDescription(out, fields)
      return
    }
    if (portal === undefined) throw new SqlError('34000', `portal "${name}" does not exist`)
    const next = await this.session.stream.peek()
    // With Execute right behind it, the server that runs the statement describes it in the same round trip.
    if (next?.type === Frontend.execute && readExecute(next.payload).portal === name && portal.prepared.statement !== undefined && !portal.started) {
      this.describeNext = portal
      return
    }
    const { fields } = await this.descriptionOf(portal.prepared)
    if (fields === undefined) out.begin('n').end()
    else writeRowDescription(out, fields.map((field, i) => ({ ...field, format: formatOf(portal.bind.resultFormats, i) })))
  }

  /** A client that has been told the columns must not get others: PostgreSQL refuses, and so does this. */
  private async checkResultType(prepared: PreparedStatement): Promise<void> {
    const { description, statement } = prepared
    const version = this.session.snapshot?.version
    if (description === undefined || statement === undefined || description.version === version) return
    const now = await describeStatement(this.session, statement, prepared.types)
    const shape = (one: StatementDescription) => JSON.stringify(one.fields?.map(({ name, typeOid, typeModifier }) => [name, typeOid, typeModifier]))
    if (shape(now) !== shape(description)) throw new SqlError('0A000', 'cached plan must not change result type')
    prepared.description = now
  }

  private async descriptionOf(prepared: PreparedStatement): Promise<StatementDescription> {
    if (prepared.statement === undefined) return { parameterTypes: [], fields: undefined, version: 0 }
    prepared.description ??= await describeStatement(this.session, prepared.statement, prepared.types)
    return prepared.description
  }

  private async execute(payload: Buffer): Promise<void> {
    const { portal: name, rowsMax } = readExecute(payload)
    const portal = this.portals.get(name)
    if (portal === undefined) throw new SqlError('34000', `portal "${name}" does not exist`)
    const { session } = this
    const { statement } = portal.prepared
    const describe = this.describeNext === portal
    this.describeNext = undefined
    if (statement === undefined) {
      session.stream.out.begin('I').end()
      return
    }
    if (portal.done) {
      session.stream.out.begin('C').cstring('SELECT 0').end()
      return
    }
    await this.checkResultType(portal.prepared)
    await this.beginUnlessAlone(rowsMax)
    const sink = session.newSink(describe)
    const end = portal.started
      ? await this.fetchMore(portal, rowsMax, sink)
      : await session.runStatement(statement, argumentsOf(portal, rowsMax), sink)
    if (describe && !sink.isDescribed) session.stream.out.begin('n').end()
    portal.started = true
    portal.done = end.kind !== 'suspended'
    session.complete(end)
  }

  /** The next rows of a portal that was suspended: it waits on the connection of a participant. */
  private async fetchMore(portal: Portal, rowsMax: number, sink: ClientSink): Promise<StatementEnd> {
    for (const participant of this.session.transaction.participants.values()) {
      if (!participant.portals.has(portal.serverName)) continue
      return runStatement(participant.connection, { prelude: [], text: '', portal: portal.serverName, rowsMax }, sink)
    }
    throw new SqlError('34000', 'the portal is gone')
  }

  /**
   * Several Executes before one Sync are one transaction, as are rows that are fetched in parts. With Sync right behind
   * it, a statement is a transaction of its own, and needs no BEGIN.
   */
  private async beginUnlessAlone(rowsMax: number): Promise<void> {
    const { session } = this
    if (session.transaction.active) return
    const next = session.stream.peekNow() ?? (await session.stream.peek())
    if (next?.type !== Frontend.sync || rowsMax > 0) session.transaction.begin('implicit')
  }
}

function argumentsOf(portal: Portal, rowsMax: number): Arguments {
  return { types: portal.prepared.types, bind: portal.bind, keep: true, portal: rowsMax > 0 ? portal.serverName : '', rowsMax }
}

const counts = new WeakMap<Statement, number>()

/** The highest parameter number in a statement. */
export function parameterCount(statement: Statement): number {
  const known = counts.get(statement)
  if (known !== undefined) return known
  // PREPARE's own parameters are those of the statement in it.
  if (statement.node.PrepareStmt !== undefined) return 0
  let most = 0
  walk(statement.node, (tree, key) => {
    if (key === 'ParamRef') most = Math.max(most, (tree.number as number | undefined) ?? 0)
  })
  counts.set(statement, most)
  return most
}
