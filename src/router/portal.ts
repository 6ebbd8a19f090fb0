/** Prepared statements and portals, as a session keeps them: not on a server, so that they survive pooling. */
import { SqlError } from '../base/errors.ts'
import type { Arguments } from '../executor/context.ts'
import type { StatementEnd } from '../executor/statement-exchange.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { BindValues } from '../shard/requests.ts'
import type { Statement } from '../sql/parse.ts'
import type { StatementDescription } from './known-statements.ts'

export interface PreparedStatement {
  /** Undefined for an empty text. */
  readonly statement: Statement | undefined
  readonly types: readonly number[]
  /** As the client sent it, PREPARE included. */
  readonly text: string
  readonly preparedAt: number
  /** Made by SQL's PREPARE. */
  readonly fromSql: boolean
  description: StatementDescription | undefined
  /** It must give no other columns: it has a name, or the client has been told of them. What is read anew each time may. */
  isPromised: boolean
  /** The columns that it gave when it ran, where nobody has asked the shell for them. */
  ran: { readonly version: number; readonly fields: readonly FieldDescription[] } | undefined
}

export interface Portal {
  readonly name: string
  readonly prepared: PreparedStatement
  readonly bind: BindValues
  /** The name of the portal on the server, once it runs there in parts: no other of the session has had it. */
  readonly serverName: string
  /** How long the transaction's journal was then: a return to a savepoint before that takes the portal away. */
  readonly boundAt: number
  readonly createdAt: number
  state: 'bound' | 'begun' | 'finished'
  /** Rows that the client has not fetched yet, where no server keeps them. */
  held: Buffer[] | undefined
  /** Its command tag, once that is known. */
  tag: string
  hasRows: boolean
}

export function argumentsOf({ prepared, bind, serverName }: Portal, rowsMax: number, isDescribed = false): Arguments {
  return { types: prepared.types, bind, keep: true, portal: rowsMax > 0 ? serverName : '', rowsMax, isDescribed }
}

/** What PostgreSQL says of a portal that has no more rows to give: only what gives rows may be executed again. */
export function executeAgain(portal: Portal): StatementEnd {
  if (!portal.hasRows) throw new SqlError('55000', `portal "${portal.name}" cannot be run`)
  return { kind: 'complete', tag: withCount(portal.tag, 0) }
}

/** A command's tag tells of the rows of the last Execute. */
export function withCount(tag: string, rows: number): string {
  return tag.replace(/^(SELECT|INSERT 0|UPDATE|DELETE|MERGE|FETCH|MOVE) \d+$/, `$1 ${rows}`)
}
