/**
 * What pgherd.read_consistency costs, in interleaved rounds: the latency of reads of both shards at each level beside that at 'shard'.
 *
 *   npm run bench:consistency -- [--rounds 15] [--seconds 0.3] [--clients 1,8] [--writers 0,2]
 *
 * The clients are in this very process, as the router is, and turns are short and many: what else the machine does falls on all levels alike. Writers move money
 * between the shards meanwhile, so that readers meet commits at the gate.
 */
import { parseArgs } from 'node:util'
import pg from 'pg'
import { median, withCluster } from './support.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, seconds: { type: 'string', default: '0.3' }, clients: { type: 'string', default: '1,8' }, writers: { type: 'string', default: '0,2' } },
})

const levels = ['shard', 'atomic', 'snapshot'] as const
const rows = 200

type Work = (client: pg.Client) => Promise<unknown>

const sum: Work = (client) => client.query('SELECT sum(balance) FROM account')
const block = (begin: string): Work => async (client) => {
  await client.query(begin)
  await sum(client)
  await sum(client)
  await client.query('COMMIT')
}
const works: Readonly<Record<string, Work>> = {
  'one row by key': (client) => client.query('SELECT balance FROM account WHERE id = $1', [7]),
  'a sum over both shards': sum,
  'two sums in a READ COMMITTED block': block('BEGIN'),
  'two sums in a REPEATABLE READ block': block('BEGIN ISOLATION LEVEL REPEATABLE READ'),
}

async function connect(port: number, level = 'shard'): Promise<pg.Client> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres', options: `-c pgherd.read_consistency=${level}` })
  await client.connect()
  return client
}

/** Milliseconds that one takes at the median, while so many clients do nothing else. */
async function latency(clients: readonly pg.Client[], work: Work): Promise<number> {
  const until = performance.now() + Number(values.seconds) * 1000
  const times: number[] = []
  await Promise.all(
    clients.map(async (client) => {
      for (let began = performance.now(); began < until; began = performance.now()) {
        await work(client)
        times.push(performance.now() - began)
      }
    }),
  )
  return median(times)
}

async function whileWriting(port: number, writers: number, work: () => Promise<void>): Promise<void> {
  const stop = new AbortController()
  const clients = await Promise.all(Array.from({ length: writers }, () => connect(port)))
  const writing = clients.map(async (client, i) => {
    for (let n = 2 * i + 1; !stop.signal.aborted; n = 1 + ((n + 13) % (rows - 1))) {
      // In order, and so without deadlocks.
      await client.query(`BEGIN; UPDATE account SET balance = balance - 1 WHERE id = ${n}; UPDATE account SET balance = balance + 1 WHERE id = ${n + 1}; COMMIT`)
    }
    await client.end()
  })
  await work().finally(() => stop.abort())
  await Promise.all(writing)
}

await withCluster(async ({ port }) => {
  const admin = await connect(port)
  await admin.query('CREATE TABLE account (id int PRIMARY KEY, balance int)')
  await admin.query(`INSERT INTO account SELECT i, 100 FROM generate_series(1, ${rows}) i`)
  await admin.end()
  console.log('| | clients | writers | ms at shard | atomic / shard | snapshot / shard |\n|---|--:|--:|--:|--:|--:|')
  for (const writers of values.writers.split(',').map(Number)) {
    for (const count of values.clients.split(',').map(Number)) {
      const clients = new Map<string, pg.Client[]>()
      for (const level of levels) clients.set(level, await Promise.all(Array.from({ length: count }, () => connect(port, level))))
      await whileWriting(port, writers, async () => {
        for (const [name, work] of Object.entries(works)) {
          const ms: number[] = []
          const ratios = new Map<string, number[]>(levels.map((level) => [level, []]))
          for (const list of clients.values()) await Promise.all(list.map(work))
          for (let round = 0; round < Number(values.rounds); round++) {
            const taken = new Map<string, number>()
            for (const level of levels) taken.set(level, await latency(clients.get(level) ?? [], work))
            const shard = taken.get('shard') ?? Number.NaN
            ms.push(shard)
            for (const level of levels) ratios.get(level)?.push((taken.get(level) ?? Number.NaN) / shard)
          }
          const ratio = (level: string) => median(ratios.get(level) ?? []).toFixed(2)
          console.log(`| ${name} | ${count} | ${writers} | ${median(ms).toFixed(2)} | ${ratio('atomic')} | ${ratio('snapshot')} |`)
        }
      })
      await Promise.all([...clients.values()].flat().map((client) => client.end()))
    }
  }
})
