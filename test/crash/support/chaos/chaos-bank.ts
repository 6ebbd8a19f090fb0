/**
 * Clients of a bank on several routers, with a journal of what they were told of each transfer, and readers that look at the total all the time.
 *
 * A transfer writes two accounts and its own row, on up to three shards. In the end the rows must explain every balance; an acknowledged
 * transfer is there, a refused one is not, and of an unknown one everything or nothing is.
 */
import pg from 'pg'

export const accounts = 64
const firstBalance = 1000
const connectMsMax = 5_000
/** A client gives up a connection whose router is stopped: what it had asked is unknown. */
const answerMsMax = 60_000

type Told = 'acknowledged' | 'refused' | 'unknown'

interface Transfer {
  readonly id: number
  readonly source: number
  readonly target: number
}

export class ChaosBank {
  readonly journal = new Map<number, Told>()
  readonly wrongTotals: string[] = []
  /** By port. */
  readonly acknowledged = new Map<number, number>()
  reads = 0
  /** How many reads of the total failed, by SQLSTATE or code. */
  readonly failedReads = new Map<string, number>()
  private readonly ports: readonly number[]
  private nextId = 1
  private isStopping = false
  private running: Promise<unknown> = Promise.resolve()

  constructor(ports: readonly number[]) {
    this.ports = ports
  }

  async open(): Promise<void> {
    const client = await connect(this.ports[0] ?? 0, '')
    await client.query('CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL)')
    await client.query('CREATE TABLE transfer (id int PRIMARY KEY, source int NOT NULL, target int NOT NULL)')
    await client.query(`INSERT INTO account SELECT i, ${firstBalance} FROM generate_series(1, ${accounts}) i`)
    await client.end()
  }

  start(clientsEach: number): void {
    const each = (work: (port: number) => Promise<void>, times: number) => this.ports.flatMap((port) => Array.from({ length: times }, () => work(port)))
    const transfer = (port: number) => this.again(port, '', (client) => this.transfer(client, port))
    const read = (port: number) => this.again(port, '-c pgherd.read_consistency=atomic', (client) => this.readTotal(client))
    this.running = Promise.all([...each(transfer, clientsEach), ...each(read, 1)])
  }

  async stop(): Promise<void> {
    this.isStopping = true
    await this.running
  }

  told(wanted: Told): number {
    return [...this.journal.values()].filter((told) => told === wanted).length
  }

  /** What the journal and the bank do not agree in. The shards themselves are asked, and every router must say the same. */
  async findings(shardPorts: readonly number[]): Promise<string[]> {
    const onShards = await Promise.all(shardPorts.map((port) => readBank(port)))
    const transfers = onShards.flatMap((shard) => shard.transfers)
    const balances = onShards.flatMap((shard) => shard.balances)
    const stored = new Set(transfers.map(({ id }) => id))
    const expected = new Map(Array.from({ length: accounts }, (_, i) => [i + 1, firstBalance]))
    for (const { source, target } of transfers) {
      expected.set(source, (expected.get(source) ?? 0) - 1)
      expected.set(target, (expected.get(target) ?? 0) + 1)
    }
    const found: string[] = [...this.wrongTotals]
    if (stored.size !== transfers.length) found.push(`${transfers.length - stored.size} transfers are there twice`)
    for (const [id, told] of this.journal) {
      if (told === 'acknowledged' && !stored.has(id)) found.push(`transfer ${id} was acknowledged and is lost`)
      if (told === 'refused' && stored.has(id)) found.push(`transfer ${id} was refused and is there`)
    }
    if (balances.length !== accounts) found.push(`${balances.length} accounts`)
    for (const { id, balance } of balances) if (balance !== expected.get(id)) found.push(`account ${id} has ${balance}, its transfers say ${expected.get(id) ?? 0}`)
    for (const port of this.ports) {
      const through = await readBank(port)
      const isSame = through.transfers.length === transfers.length && through.transfers.every(({ id }) => stored.has(id))
      if (!isSame) found.push(`the router on ${port} shows ${through.transfers.length} transfers, the shards have ${transfers.length}`)
    }
    return found
  }

  private countFailure(code: string): void {
    this.failedReads.set(code, (this.failedReads.get(code) ?? 0) + 1)
  }

  private async again(port: number, options: string, work: (client: pg.Client) => Promise<void>): Promise<void> {
    const isReader = options !== ''
    let client: pg.Client | undefined
    while (!this.isStopping) {
      try {
        client ??= await connect(port, options)
        await work(client)
      } catch (error) {
        // Whatever went wrong, a client comes again with a new connection.
        if (isReader) this.countFailure((error as pg.DatabaseError).code ?? (error as Error).message)
        void client?.end().catch(() => undefined)
        client = undefined
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    }
    await client?.end().catch(() => undefined)
  }

  private async readTotal(client: pg.Client): Promise<void> {
    const { rows } = await client.query<{ sum: string; count: string }>('SELECT sum(balance), count(*) FROM account')
    this.reads++
    const [row] = rows
    if (Number(row?.sum) !== accounts * firstBalance || Number(row?.count) !== accounts) this.wrongTotals.push(`a read gave ${row?.sum} over ${row?.count} accounts`)
    await new Promise((resolve) => setTimeout(resolve, 100))
  }

  private async transfer(client: pg.Client, port: number): Promise<void> {
    const id = this.nextId++
    // Always upwards, so that two transfers never wait for each other in a circle.
    const source = 1 + (id % (accounts - 1))
    const target = source + 1 + ((id * 7) % (accounts - source))
    let isCommitting = false
    try {
      await client.query('BEGIN')
      await client.query('UPDATE account SET balance = balance - 1 WHERE id = $1', [source])
      await client.query('UPDATE account SET balance = balance + 1 WHERE id = $1', [target])
      await client.query('INSERT INTO transfer VALUES ($1, $2, $3)', [id, source, target])
      isCommitting = true
      const { command } = await client.query('COMMIT')
      this.journal.set(id, command === 'COMMIT' ? 'acknowledged' : 'refused')
      if (command === 'COMMIT') this.acknowledged.set(port, (this.acknowledged.get(port) ?? 0) + 1)
    } catch (error) {
      this.journal.set(id, isCommitting && leavesDoubt(error as pg.DatabaseError) ? 'unknown' : 'refused')
      throw error
    }
  }
}

/** An error of a server says that nothing was committed, unless it says that it does not know, or that the session is ended. */
function leavesDoubt({ code }: pg.DatabaseError): boolean {
  return code === undefined || !/^[0-9A-Z]{5}$/.test(code) || code === '08007' || code.startsWith('57P')
}

async function readBank(port: number): Promise<{ transfers: Transfer[]; balances: { id: number; balance: number }[] }> {
  const client = await connect(port, '')
  const { rows: transfers } = await client.query<Transfer>('SELECT id, source, target FROM transfer')
  const { rows: balances } = await client.query<{ id: number; balance: number }>('SELECT id, balance FROM account')
  await client.end()
  return { transfers, balances }
}

async function connect(port: number, options: string): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', options, connectionTimeoutMillis: connectMsMax, query_timeout: answerMsMax })
  client.on('error', () => undefined) // whoever waits on it is told
  await client.connect()
  return client
}
