/** A server's prepared transactions and decisions, in SQL on connections of the control plane's own. */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import { quoteLiteral } from '../base/quote.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import type { FinishVerb } from './branch.ts'
import type { DecisionRow, OldDecisions, Outcome, PreparedTransaction, TransactionServer } from './transaction-server.ts'

interface StoredDecision {
  readonly id: string
  readonly outcome: Outcome
  readonly others: readonly number[] | null
}

export class SqlTransactionServer implements TransactionServer {
  readonly id: number
  readonly name: string
  private readonly address: ServerAddress
  private readonly credentials: Credentials

  constructor(address: ServerAddress, credentials: Credentials) {
    this.id = address.id
    this.name = address.name
    this.address = address
    this.credentials = credentials
  }

  prepared(prefix: string, ageMs: number): Promise<readonly PreparedTransaction[]> {
    return this.rows<PreparedTransaction>(
      'postgres',
      `SELECT gid AS name, database FROM pg_prepared_xacts WHERE starts_with(gid, $1) AND prepared <= clock_timestamp() - $2 * interval '1 ms'`,
      [prefix, ageMs],
    )
  }

  async databases(): Promise<readonly string[]> {
    const rows = await this.rows<{ name: string }>('postgres', `SELECT datname AS name FROM pg_database WHERE datallowconn AND NOT datistemplate`)
    return rows.map(({ name }) => name)
  }

  decision(database: string, id: string): Promise<DecisionRow | undefined> {
    return this.ask(database, async (client) => {
      const { rows } = await client.query<StoredDecision>(`${selectDecisions} WHERE id = $1`, [id])
      if (rows.length > 0) await client.query(untilKept)
      return rows.map(asDecision)[0]
    })
  }

  settle(database: string, id: string): Promise<DecisionRow> {
    return this.ask(database, async (client) => {
      // A decider that is still in flight may take its time: who asks asks again, and others are not kept waiting.
      await client.query(`SET lock_timeout = '${limits.recoveryLockMsMax}ms'`)
      const { rowCount } = await client.query(`INSERT INTO pgherd.decision (id, outcome) VALUES ($1, 'aborted') ON CONFLICT DO NOTHING`, [id])
      if (rowCount === 0) await client.query(untilKept)
      const { rows } = await client.query<StoredDecision>(`${selectDecisions} WHERE id = $1`, [id])
      const [row] = rows
      if (row === undefined) throw new Error(`the decision of ${id} was taken away while it was asked for`)
      return asDecision(row)
    })
  }

  async finish(database: string, name: string, verb: FinishVerb): Promise<void> {
    await this.ask(database, (client) =>
      client.query(`${verb} PREPARED ${quoteLiteral(name)}`).catch((error: Error & { code?: string }) => {
        if (error.code !== undefinedObject) throw error
        return client.query(untilKept) // somebody has done it, and may not have waited
      }),
    )
  }

  async openSince(): Promise<number> {
    // This query's own transaction is one of them.
    const [row] = await this.rows<{ ms: number }>('postgres', 'SELECT floor(1000 * extract(epoch FROM min(xact_start)))::float8 AS ms FROM pg_catalog.pg_stat_activity')
    return row?.ms ?? 0
  }

  oldDecisions(database: string, { ageMs, askedAgeMs, abortedBefore }: OldDecisions): Promise<readonly DecisionRow[]> {
    return this.decisions(
      database,
      `WHERE decided_at < clock_timestamp() - (CASE WHEN asked THEN $2 ELSE $1 END)::float8 * interval '1 ms'
       AND (outcome = 'committed' OR decided_at < timestamptz 'epoch' + $3::float8 * interval '1 ms')
       ORDER BY decided_at LIMIT ${limits.forgetRowsMax}`,
      [ageMs, askedAgeMs, abortedBefore],
    )
  }

  async forget(database: string, ids: readonly string[]): Promise<void> {
    await this.rows(database, 'DELETE FROM pgherd.decision WHERE id = ANY ($1)', [ids])
  }

  private async decisions(database: string, condition: string, values: readonly unknown[]): Promise<readonly DecisionRow[]> {
    const rows = await this.rows<StoredDecision>(database, `${selectDecisions} ${condition}`, values)
    return rows.map(asDecision)
  }

  private rows<Row extends object>(database: string, text: string, values: readonly unknown[] = []): Promise<Row[]> {
    return this.ask(database, async (client) => (await client.query<Row>(text, [...values])).rows)
  }

  private ask<T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    return withAdmin(this.address, database, this.credentials, work, limits.serverAnswerMsMax)
  }
}

/**
 * Who hears of a decision acts on it, so it must be on the replicas that the server waits for. A server that was killed while it waited for them shows
 * after its start what they may not have: a commit of one's own waits for all that was before it.
 */
const untilKept = `SELECT pg_logical_emit_message(true, 'pgherd', '')`

const undefinedObject = '42704'

const selectDecisions = 'SELECT id, outcome, others FROM pgherd.decision'

const asDecision = ({ id, outcome, others }: StoredDecision): DecisionRow => ({ id, outcome, others: others ?? undefined })
