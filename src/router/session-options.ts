import type { Timeouts } from '../shard/timeouts.ts'
import type { BaseModes } from '../transaction/transaction.ts'
import type { OwnValues } from './own-settings.ts'

/** What a session knows from its start. */
export interface SessionOptions {
  /** The number by which its client, and others, know it. */
  readonly pid: number
  /** The client's address and port. */
  readonly address: string | undefined
  readonly port: number | undefined
  readonly database: string
  readonly user: string
  /** SET statements of the start-up packet, by name. */
  readonly initialSettings: ReadonlyMap<string, string>
  readonly initialTimeouts: Timeouts
  readonly searchPath: string
  readonly own: OwnValues
  readonly base: BaseModes
}
