/** Clients that append to lists and read them, at random, through any number of servers, and write down what they saw. */
import pg from 'pg'
import type { Random } from '../random.ts'
import type { Op, Status, Transaction } from './history.ts'

export interface ListOptions {
  /** Each client has one of these ports, in turn, and goes to the next when its server is away. */
  readonly ports: readonly number[]
  readonly clients: number
  readonly keys: number
  readonly random: Random
  readonly isolation: 'READ COMMITTED' | 'REPEATABLE READ' | 'SERIALIZABLE'
  /** Start-up options, as PGOPTIONS has them. */
  readonly options?: string
}

export const listTable = 'lists'

export class ListClients {
  readonly history: Transaction[] = []
  private readonly given: ListOptions
  private isStopping = false
  private nextValue = 1
  private nextId = 1
  private moment = 0

  constructor(options: ListOptions) {
    this.given = options
  }

  async open(): Promise<void> {
    const client = await connect(this.given.ports[0] ?? 0, '')
    await client.query(`DROP TABLE IF EXISTS ${listTable}`)
    await client.query(`CREATE TABLE ${listTable} (key int PRIMARY KEY, vals int[] NOT NULL)`)
    await client.query(`INSERT INTO ${listTable} SELECT i, '{}' FROM generate_series(1, ${this.given.keys}) i`)
    await client.end()
  }

  /** Goes on until there are so many transactions, or `stop`. */
  async run(transactions = Infinity): Promise<void> {
    this.isStopping = false
    const until = this.history.length + transactions
    await Promise.all(Array.from({ length: this.given.clients }, (_, client) => this.serve(client, until)))
  }

  stop(): void {
    this.isStopping = true
  }

  /** The lists as they are now. */
  async final(): Promise<Map<number, readonly number[]>> {
    const client = await connect(this.given.ports[0] ?? 0, '')
    const { rows } = await client.query<{ key: number; vals: number[] }>(`SELECT key, vals FROM ${listTable}`)
    await client.end()
    return new Map(rows.map(({ key, vals }) => [key, vals]))
  }

  private async serve(client: number, until: number): Promise<void> {
    const { ports, options = '' } = this.given
    let connection: pg.Client | undefined
    for (let turn = client; !this.isStopping && this.history.length < until; ) {
      try {
        connection ??= await connect(ports[turn++ % ports.length] ?? 0, options)
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20)) // its server is away
        continue
      }
      if (await this.transact(client, connection)) continue
      await connection.end().catch(() => undefined)
      connection = undefined
    }
    await connection?.end().catch(() => undefined)
  }

  /** False when the connection is of no use any more. */
  private async transact(client: number, connection: pg.Client): Promise<boolean> {
    const id = this.nextId++
    const began = this.moment++
    const ops: Op[] = []
    let isCommitting = false
    const end = (status: Status) => void this.history.push({ id, client, status, ops, began, ended: this.moment++ })
    try {
      await connection.query(`BEGIN ISOLATION LEVEL ${this.given.isolation}`)
      for (const key of this.keysOfOne()) await this.step(connection, key, ops)
      isCommitting = true
      const { command } = await connection.query('COMMIT')
      end(command === 'COMMIT' ? 'committed' : 'aborted')
      return true
    } catch (error) {
      const { code } = error as { code?: string }
      const isAnswer = code !== undefined && /^[0-9A-Z]{5}$/.test(code) && !/^(08|57P)/.test(code)
      end(isCommitting && !isAnswer ? 'unknown' : 'aborted')
      if (!isAnswer) return false
      return connection.query('ROLLBACK').then(() => true, () => false)
    }
  }

  /** Mostly upwards: deadlocks are to happen, but each takes a second. */
  private keysOfOne(): number[] {
    const { random, keys } = this.given
    const chosen = Array.from({ length: 1 + random.below(4) }, () => 1 + random.below(keys))
    return random.chance(97) ? chosen.toSorted((a, b) => a - b) : chosen
  }

  private async step(connection: pg.Client, key: number, ops: Op[]): Promise<void> {
    const { random, keys } = this.given
    if (random.chance(50)) {
      const value = this.nextValue++
      ops.push({ kind: 'append', key, value }) // before: when it fails it may have been done
      await connection.query(`UPDATE ${listTable} SET vals = vals || ${value} WHERE key = ${key}`)
      return
    }
    // One key, or several in one statement, which may be on several servers.
    const wanted = random.chance(50) ? [key] : [...new Set([key, 1 + random.below(keys), 1 + random.below(keys)])]
    const { rows } = await connection.query<{ key: number; vals: number[] }>(`SELECT key, vals FROM ${listTable} WHERE key IN (${wanted.join(', ')})`)
    if (rows.length !== wanted.length) throw new Error(`${rows.length} of ${wanted.length} lists were read`)
    for (const row of rows) ops.push({ kind: 'read', key: row.key, values: row.vals })
  }
}

async function connect(port: number, options: string): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', options, connectionTimeoutMillis: 10_000, query_timeout: 60_000 })
  client.on('error', () => undefined) // whoever waits on it is told
  await client.connect()
  return client
}
