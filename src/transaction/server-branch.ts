/** A participant's part of the commit, in SQL on the participant's own connection. */
import { SqlError } from '../base/errors.ts'
import { readErrorFields } from '../protocol/error-fields.ts'
import { Backend } from '../protocol/message-types.ts'
import { query, request } from '../shard/query.ts'
import type { Branch, CommitSteps, Decision, FinishVerb } from './branch.ts'
import type { Connection } from '../shard/connection.ts'
import type { Participant } from './transaction.ts'

export class ServerBranch implements Branch {
  readonly server: Participant['server']
  readonly wrote: boolean
  readonly cannotPrepare: boolean
  private readonly connection: Connection
  private readonly cancellable: Set<Connection>
  /** Its session does not wait for replicas. */
  private isHasty = false

  /** What is in `cancellable` may be cancelled: a COMMIT or PREPARE may, since its failure undoes all; what comes after the decision may not. */
  constructor({ server, wrote, cannotPrepare, connection }: Pick<Participant, 'server' | 'wrote' | 'cannotPrepare' | 'connection'>, cancellable: Set<Connection> = new Set()) {
    this.server = server
    this.wrote = wrote
    this.cannotPrepare = cannotPrepare
    this.connection = connection
    this.cancellable = cancellable
  }

  async commit({ throughGate, decision }: CommitSteps): Promise<void> {
    // A replica that is gone has taken nothing with it.
    if (this.server.isReplica === true && decision === undefined) return this.end()
    const before = [...(throughGate ? [passGate] : []), ...(decision === undefined ? [] : [decide(decision), onDisk])]
    const { isKept } = await this.must('COMMIT', before)
    if (isKept || decision === undefined) return
    await this.connection.cancelling
    await this.keep()
  }

  async prepare(name: string, throughGate: boolean): Promise<void> {
    const { isKept, isHasty } = await this.must('PREPARE TRANSACTION', [...(throughGate ? [passGate] : []), onDisk], ` '${name}'`)
    this.isHasty = isHasty
    if (!isKept) throw new SqlError('57014', 'canceling statement due to user request')
  }

  async finish(name: string, verb: FinishVerb): Promise<void> {
    this.cancellable.delete(this.connection)
    await this.connection.cancelling // what was meant for PREPARE must not end this
    await query(this.connection, `${verb} PREPARED '${name}'`)
    // A replica that takes this server's place would have it as prepared still, with the gate let go of long ago.
    if (this.isHasty && verb === 'COMMIT') await this.keep()
  }

  async end(): Promise<void> {
    await this.connection.cancelling
    await query(this.connection, 'COMMIT').catch(() => this.connection.close())
  }

  /** What is committed here stays: a commit of one's own waits for all that was before it. */
  private async keep(): Promise<void> {
    await query(this.connection, `BEGIN; SET LOCAL synchronous_commit = 'on'; SELECT pg_logical_emit_message(true, 'pgherd', ''); COMMIT`)
  }

  /** A server whose transaction had failed answers COMMIT with ROLLBACK, without an error; and what comes before COMMIT with 25P02. */
  private async must(command: string, before: readonly string[], rest = ''): Promise<{ isKept: boolean; isHasty: boolean }> {
    await this.connection.cancelling
    this.cancellable.add(this.connection)
    let isKept = true
    const onNotice = (type: number, buffer: Buffer, start: number, end: number) => {
      if (type === Backend.noticeResponse && readErrorFields(buffer, start, end).routine === waitForReplicas) isKept = false
    }
    const text = [...before, command + rest].join('; ')
    const { tag, rows } = await request(this.connection, (writer) => writer.begin('Q').cstring(text).end(), onNotice)
      .catch((error: SqlError) => {
        if (error.code !== failedTransaction) throw error
        return query(this.connection, 'ROLLBACK')
      })
      .finally(() => this.cancellable.delete(this.connection))
    if (tag !== command) throw new SqlError('40000', `the transaction was rolled back on ${this.server.name} (it answered ${tag})`)
    return { isKept, isHasty: rows.some(([value]) => value === 'on') }
  }
}

const failedTransaction = '25P02'

/** Where a wait for replicas was cancelled: what was to be done is done on the server, which answers with a warning of this routine. */
const waitForReplicas = 'SyncRepWaitForLSN'

const passGate = 'SELECT pgherd.pass_gate()'

const decide = ({ id, others, isAsked }: Decision) => `SELECT pgherd.decide('${id}', '{${others.join(',')}}', ${String(isAsked)})`

/**
 * Gives a row where it changes something.
 *
 * Others act on a decision at once, and on what is prepared: neither may be lost with this server's memory, as synchronous_commit = off lets a commit be, or with this
 * server, where a replica takes its place.
 */
const onDisk = `SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') IN ('off', 'local')`
