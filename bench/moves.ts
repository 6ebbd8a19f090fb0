/**
 * Cut-overs while clients keep all shards busy: how many attempts a move takes, for how long writes are held, and how long a client waits at most.
 *
 *   npm run bench:moves -- [--moves 8] [--load NAME]
 */
import { parseArgs } from 'node:util'
import pg from 'pg'
import { realClock } from '../src/base/clock.ts'
import { catalogAddress } from '../src/coordination/bootstrap.ts'
import { withAdmin } from '../src/coordination/admin-client.ts'
import { consoleLogger } from '../src/observability/logger.ts'
import { requestMoves } from '../src/rebalance/move-requests.ts'
import { Router } from '../src/router/router.ts'
import { median, withCluster } from './support.ts'

const { values } = parseArgs({ options: { moves: { type: 'string', default: '8' }, load: { type: 'string' } } })

type Work = (client: pg.Client, n: number) => Promise<unknown>

const read: Work = (client) => client.query('SELECT count(*), sum(v) FROM item')
const write: Work = (client, n) => client.query(`UPDATE item SET v = v + 1 WHERE id % 100 = ${n % 100}`)
const block: Work = async (client, n) => {
  await client.query('BEGIN')
  await read(client, n)
  await write(client, n)
  await read(client, n)
  await client.query('COMMIT')
}
const keys: Work = async (client, n) => {
  await client.query('BEGIN')
  await client.query(`UPDATE item SET v = v + 1 WHERE id = ${1 + (n % 5000)}`)
  await client.query(`UPDATE item SET v = v - 1 WHERE id = ${5001 + ((n * 7) % 5000)}`)
  await client.query('COMMIT')
}

/** Two clients of each router do the first, and two the second. */
const loads: Readonly<Record<string, readonly Work[]>> = {
  'reads of all shards': [read, read],
  'writes to all shards': [write, write],
  'reads and writes of all shards': [read, write],
  'blocks with both': [block, block],
  'two rows by key in a block': [keys, keys],
}

interface Told {
  readonly longestMs: number
  readonly times: number
  readonly errors: number
}

async function load(port: number, work: Work, start: number, signal: AbortSignal): Promise<Told> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database: 'postgres' })
  await client.connect()
  let [longestMs, times, errors] = [0, 0, 0]
  while (!signal.aborted) {
    const began = performance.now()
    await work(client, start + 31 * times++).catch(async () => {
      errors++
      await client.query('ROLLBACK')
    })
    longestMs = Math.max(longestMs, performance.now() - began)
  }
  await client.end()
  return { longestMs, times, errors }
}

await withCluster(async (running) => {
  const catalog = catalogAddress('127.0.0.1', running.cluster.catalog.port)
  const credentials = { user: 'postgres' }
  const second = await Router.start({ catalog, credentials, redis: running.cluster.redis?.url, host: '127.0.0.1', port: 0, clock: realClock, log: consoleLogger('quiet') })
  const ask = (sql: string) => withAdmin({ ...catalog, port: running.port }, 'postgres', credentials, (client) => client.query(sql))
  const onCatalog = <T extends object>(sql: string) => withAdmin(catalog, 'postgres', credentials, async (client) => (await client.query<T>(sql)).rows)
  try {
    await ask('CREATE TABLE item (id int PRIMARY KEY, v int NOT NULL)')
    await ask('INSERT INTO item SELECT g, 0 FROM generate_series(1, 10000) g')
    console.log('| load, 8 clients on two routers | attempts a move, median | most | longest hold of a move | longest transaction | seconds a move | errors |\n|---|--:|--:|--:|--:|--:|--:|')
    let bucket = 0
    for (const [name, works] of Object.entries(loads)) {
      if (values.load !== undefined && values.load !== name) continue
      const stop = new AbortController()
      const clients = Promise.all(works.flatMap((work, i) => [0, 1, 2, 3].map((j) => load(j % 2 === 0 ? running.port : second.port, work, 7 * (4 * i + j), stop.signal))))
      await realClock.sleep(1000)
      const moves: { attempts: number; held: number; seconds: number }[] = []
      for (let n = 0; n < Number(values.moves); n++) {
        const [owner] = await onCatalog<{ group: number; shard: number }>(`SELECT group_id AS "group", shard_id AS shard FROM pgherd.bucket WHERE bucket = ${bucket % 32} AND group_id = (SELECT group_id FROM pgherd.placement WHERE oid = 'item'::regclass)`)
        if (owner === undefined) throw new Error('the table has no buckets')
        const [id] = await withAdmin(catalog, 'postgres', credentials, (client) => requestMoves(client, [{ group: owner.group, bucket: bucket++ % 32, target: 3 - owner.shard }]))
        for (;;) {
          const [move] = await onCatalog<{ stage: string; cutovers: number; held: number; seconds: number }>(`SELECT stage, cutovers, held_ms AS held, extract(epoch FROM ended_at - started_at)::float8 AS seconds FROM pgherd.move WHERE id = ${id}`)
          if (move?.stage === 'done') {
            moves.push({ attempts: move.cutovers, held: move.held, seconds: move.seconds })
            break
          }
          await realClock.sleep(100)
        }
      }
      stop.abort()
      const told = await clients
      const of = (key: 'attempts' | 'held' | 'seconds') => moves.map((move) => move[key])
      console.log(`| ${name} | ${median(of('attempts'))} | ${Math.max(...of('attempts'))} | ${Math.max(...of('held'))} ms | ${Math.round(Math.max(...told.map((one) => one.longestMs)))} ms | ${median(of('seconds')).toFixed(1)} | ${told.reduce((sum, one) => sum + one.errors, 0)} |`)
    }
  } finally {
    await second.stop()
  }
})
