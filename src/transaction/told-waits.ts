/** What routers tell each other of transactions that wait, in the cluster's database. */
import { limits } from '../base/limits.ts'
import type { Clock } from '../base/clock.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { KeptClient } from '../coordination/kept-client.ts'
import type { WaitingTransaction } from './wait-graph.ts'

export class ToldWaits {
  private readonly router: string
  private readonly client: KeptClient
  private hasTold = false

  constructor(catalog: ServerAddress, credentials: Credentials, clock: Clock) {
    this.router = clock.randomHex(8)
    this.client = new KeptClient({ server: catalog, database: clusterDatabase, credentials, answerMsMax: limits.deadlockAnswerMsMax, awayMs: limits.deadlockAwayMs, clock })
  }

  /** All that this router has to tell. Asks nobody when that is nothing, and was. Throws when the catalog does not answer. */
  async tell(own: readonly WaitingTransaction[]): Promise<void> {
    if (own.length === 0) return this.withdraw()
    this.hasTold = true
    await this.client.ask((client) =>
      client.query(
        `INSERT INTO pgherd.waits (router, told_at, transactions) VALUES ($1, clock_timestamp(), $2)
         ON CONFLICT (router) DO UPDATE SET told_at = excluded.told_at, transactions = excluded.transactions`,
        [this.router, JSON.stringify(own)],
      ),
    )
  }

  /** What the other routers tell. Throws when the catalog does not answer. */
  async read(): Promise<readonly WaitingTransaction[]> {
    return this.client.ask(async (client) => {
      // A router that is no more leaves its row.
      await client.query(`DELETE FROM pgherd.waits WHERE told_at < clock_timestamp() - $1 * interval '1 ms'`, [limits.waitsForgetMs])
      const { rows } = await client.query<{ transactions: WaitingTransaction[] }>(
        `SELECT transactions FROM pgherd.waits WHERE router <> $1 AND told_at > clock_timestamp() - $2 * interval '1 ms'`,
        [this.router, limits.waitsStaleMs],
      )
      return rows.flatMap(({ transactions }) => transactions)
    })
  }

  close(): void {
    this.client.close()
  }

  private async withdraw(): Promise<void> {
    if (!this.hasTold) return
    await this.client.ask((client) => client.query('DELETE FROM pgherd.waits WHERE router = $1', [this.router]))
    this.hasTold = false
  }
}
