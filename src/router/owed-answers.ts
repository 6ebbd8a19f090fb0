/**
 * ParseComplete and BindComplete that wait for what a server makes of the statement.
 *
 * PostgreSQL reads a statement at Parse and its values at Bind, and may fail there. The router sends both on with Execute, in
 * one round trip; so that a client sees a failure in its place, the answers wait until the server has come so far.
 */
import type { SqlError } from '../base/errors.ts'
import type { MessageWriter } from '../protocol/message-writer.ts'
import type { Portal, PreparedStatement } from './portal.ts'

export class OwedAnswers {
  parse: { readonly name: string; readonly prepared: PreparedStatement } | undefined
  bind: Portal | undefined
  private readonly out: () => MessageWriter

  constructor(out: () => MessageWriter) {
    this.out = out
  }

  give(): void {
    this.giveParse()
    if (this.bind === undefined) return
    this.bind = undefined
    this.out().begin('2').end()
  }

  giveParse(): void {
    if (this.parse === undefined) return
    this.parse = undefined
    this.out().begin('1').end()
  }

  /** After an error: gives what had succeeded before it, and tells what there is not. */
  fail({ fields: { stage } }: SqlError): { readonly statement: string | undefined; readonly portal: string | undefined } {
    const { parse, bind } = this
    if (stage === undefined) this.give()
    else if (stage === 'bind') this.giveParse()
    this.parse = undefined
    this.bind = undefined
    return { statement: stage === 'parse' ? parse?.name : undefined, portal: stage === undefined ? undefined : bind?.name }
  }
}
