import type { Branch, CommitSteps, FinishVerb } from '../../../src/transaction/branch.ts'
import type { Connection } from '../world/network.ts'
import type { Session } from './session.ts'

/** A transaction's part on a stand-in. */
export class SimulatedBranch implements Branch {
  readonly server: { readonly id: number; readonly name: string }
  readonly cannotPrepare: boolean
  readonly connection: Connection<Session>
  wrote = false

  constructor(id: number, connection: Connection<Session>, cannotPrepare: boolean) {
    this.server = { id, name: `server ${id}` }
    this.connection = connection
    this.cannotPrepare = cannotPrepare
  }

  commit(steps: CommitSteps): Promise<void> {
    const { throughGate, decision } = steps
    return this.connection.request(`COMMIT${throughGate ? ' through the gate' : ''}${decision === undefined ? '' : ` deciding ${decision.id.slice(-6)}`}`, (session) => session.commit(steps))
  }

  prepare(name: string, throughGate: boolean): Promise<void> {
    return this.connection.request(`PREPARE ${short(name)}${throughGate ? ' through the gate' : ''}`, (session) => session.prepare(name, throughGate))
  }

  finish(name: string, verb: FinishVerb): Promise<void> {
    return this.connection.request(`${verb} PREPARED ${short(name)}`, (session) => session.finish(name, verb))
  }

  async end(): Promise<void> {
    await this.connection.request('COMMIT of a reader', (session) => session.commit({ throughGate: false, decision: undefined })).catch(() => this.connection.close())
  }

  async rollback(): Promise<void> {
    if (!this.connection.isLost) await this.connection.request('ROLLBACK', (session) => session.rollback()).catch(() => this.connection.close())
  }
}

/** The end of an id tells transactions apart. */
export const short = (name: string) => name.replace(/^.*([0-9a-f]{6}:\d+)$/, '$1')
