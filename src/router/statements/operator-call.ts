/** A function that operators call and the router answers (operator-functions.ts). */
import type { Parameter } from './call-arguments.ts'
import type { Session } from '../session.ts'

export interface ValueAnswer {
  readonly kind: 'value'
  /** Of SQL. */
  readonly expression: string
}

export interface RowsAnswer {
  readonly kind: 'rows'
  /** Their types, by their names. */
  readonly columns: Readonly<Record<string, string>>
  readonly rows: readonly Readonly<Record<string, unknown>>[]
}

export type OperatorAnswer = ValueAnswer | RowsAnswer

export interface OperatorCall {
  readonly parameters: readonly Parameter[]
  readonly gives: OperatorAnswer['kind']
  /** It changes something beside the session's transaction, or waits for what may wait for that: never in a block. */
  readonly acts: boolean
  readonly run: (values: ReadonlyMap<string, string | undefined>, session: Session) => Promise<OperatorAnswer>
}

export type OperatorCalls = Readonly<Record<string, OperatorCall>>

export const nothing: OperatorAnswer = { kind: 'value', expression: 'pgherd.done()' }
export const number = (value: number | undefined): OperatorAnswer => ({ kind: 'value', expression: `${value ?? 'NULL'}::pg_catalog.int8` })
