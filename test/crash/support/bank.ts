/**
 * Clients that move money between accounts on all shards, and remember which transfers were acknowledged.
 *
 * A transfer writes two accounts and a row in `transfer`, whose key is on yet another shard as often as not. Afterwards the
 * table of transfers must hold every acknowledged one, and explain every balance to the last unit: so a transfer that was
 * never acknowledged is there whole or not at all.
 */
import type pg from 'pg'
import { ask, connect } from './servers.ts'

const accounts = 40
const workers = 4

export class Bank {
  readonly acknowledged = new Set<number>()
  private port: number
  private nextId = 1
  private stopping = false
  private running: Promise<unknown> = Promise.resolve()

  constructor(port: number) {
    this.port = port
  }

  async open(): Promise<void> {
    await ask(this.port, 'CREATE TABLE account (id integer PRIMARY KEY, balance integer NOT NULL)')
    await ask(this.port, 'CREATE TABLE transfer (id integer PRIMARY KEY, source integer NOT NULL, target integer NOT NULL)')
    const rows = Array.from({ length: accounts }, (_, i) => `(${i}, 0)`)
    await ask(this.port, `INSERT INTO account VALUES ${rows.join(', ')}`)
  }

  start(port: number): void {
    this.port = port
    this.stopping = false
    this.running = Promise.all(Array.from({ length: workers }, () => this.work()))
  }

  async stop(): Promise<void> {
    this.stopping = true
    await this.running
  }

  /** Acknowledged transfers that are not there, and balances that the transfers do not explain. */
  async findings(): Promise<string[]> {
    const transfers = await ask<{ id: number; source: number; target: number }>(this.port, 'SELECT id, source, target FROM transfer')
    const balances = await ask<{ id: number; balance: number }>(this.port, 'SELECT id, balance FROM account')
    const stored = new Set(transfers.map((transfer) => transfer.id))
    const lost = [...this.acknowledged].filter((id) => !stored.has(id)).map((id) => `transfer ${id} was acknowledged and is lost`)
    const expected = new Map<number, number>()
    for (const { source, target } of transfers) {
      expected.set(source, (expected.get(source) ?? 0) - 1)
      expected.set(target, (expected.get(target) ?? 0) + 1)
    }
    const wrong = balances.filter(({ id, balance }) => balance !== (expected.get(id) ?? 0))
    return [...lost, ...wrong.map(({ id, balance }) => `account ${id} has ${balance}, its transfers say ${expected.get(id) ?? 0}`)]
  }

  private async work(): Promise<void> {
    let client: pg.Client | undefined
    while (!this.stopping) {
      try {
        client ??= await connect(this.port)
        await this.transfer(client)
      } catch {
        // Whatever went wrong, a client of a bank comes again with a new connection and a new transfer.
        await client?.end().catch(() => undefined)
        client = undefined
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
    await client?.end().catch(() => undefined)
  }

  private async transfer(client: pg.Client): Promise<void> {
    const id = this.nextId++
    // Always upwards, so that two transfers never wait for each other.
    const source = id % (accounts - 1)
    const target = source + 1 + (id % (accounts - 1 - source))
    await client.query('BEGIN')
    await client.query('UPDATE account SET balance = balance - 1 WHERE id = $1', [source])
    await client.query('UPDATE account SET balance = balance + 1 WHERE id = $1', [target])
    await client.query('INSERT INTO transfer VALUES ($1, $2, $3)', [id, source, target])
    const { command } = await client.query('COMMIT')
    if (command === 'COMMIT') this.acknowledged.add(id)
  }
}
