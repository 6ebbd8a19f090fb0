/** What it costs that commits wait for a replica: updates by key, each a transaction of its own, with commits that wait and with the same replicas not waited for, in interleaved rounds. */
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { realClock } from '../src/base/clock.ts'
import { makeFolder, median, pgbench, withCluster } from './support.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '3' }, clients: { type: 'string', default: '1,8,32' } },
})

async function ask<Row extends pg.QueryResultRow>(port: number, sql: string, database = 'postgres'): Promise<Row[]> {
  const client = new pg.Client({ host: '127.0.0.1', port, user: 'postgres', database })
  await client.connect()
  try {
    return (await client.query<Row>(sql)).rows
  } finally {
    await client.end()
  }
}

await withCluster(async ({ port, cluster }) => {
  await ask(port, 'CREATE TABLE account (id int PRIMARY KEY, balance int)')
  await ask(port, 'INSERT INTO account SELECT i, 0 FROM generate_series(1, 1000) i')
  const folder = makeFolder()
  const file = path.join(folder, 'update.sql')
  fs.writeFileSync(file, '\\set id random(1, 1000)\nUPDATE account SET balance = balance + 1 WHERE id = :id;\n')
  const inSync = async () => (await ask(cluster.catalog.port, 'SELECT FROM pgherd.in_sync', 'pgherd')).length
  const wait = async (mode: 'available' | 'off') => {
    await ask(port, `SELECT pgherd.set_cluster_setting('synchronous_replicas', '${mode}')`)
    while ((await inSync()) !== (mode === 'off' ? 0 : cluster.shards.length)) await realClock.sleep(100)
  }
  try {
    for (const clients of values.clients.split(',')) {
      const ratios: number[] = []
      for (let round = 0; round < Number(values.rounds); round++) {
        const args = ['-n', '-c', clients, '-j', '1', '-T', values.seconds, '-f', file]
        await wait('off')
        const alone = await pgbench(port, 'postgres', args)
        await wait('available')
        ratios.push((await pgbench(port, 'postgres', args)) / alone)
      }
      process.stdout.write(`clients=${clients.padStart(2)}  commits that wait for a replica/those that do not=${median(ratios).toFixed(2)}\n`)
    }
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}, undefined, 1)
