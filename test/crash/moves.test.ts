/** kill -9 of the mover at every step of a move: a router's own mover completes it, every row is there once, and nothing is left behind. */
import { spawn } from 'node:child_process'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Moving } from '../integration/move/moving.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { ask } from './support/servers.ts'
import { until } from './support/until.ts'

const steps = [
  'waiting', 'copying', 'leaves', 'identity', 'publication', 'slot', 'subscription', 'catching-up', 'foreign keys', 'compare', 'locks', 'applied', 'commit', 'prepared',
  'cleaning', 'unsubscribe', 'source',
] as const

const rows = 400
let cluster: TestCluster
let moving: Moving

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
  moving = await Moving.of(cluster)
  await ask(cluster.port, 'CREATE TABLE c (id int PRIMARY KEY, v int NOT NULL, long text)')
  await ask(cluster.port, `CREATE TABLE n (c_id int REFERENCES c, v int) WITH (pgherd.shard_key = 'c_id')`)
  await ask(cluster.port, `INSERT INTO c SELECT g, 0, repeat('x', g) FROM generate_series(1, ${rows}) g`)
  await ask(cluster.port, 'INSERT INTO n SELECT id, 1 FROM c')
})

afterAll(async () => {
  await moving.stop()
  await cluster.stop()
})

/** Gives the move's number, and true when the mover has killed itself at the step. */
async function moveAndDie(bucket: number, step: string): Promise<{ id: number; died: boolean }> {
  const { group, owners } = await moving.buckets('c')
  const script = path.join(import.meta.dirname, 'support/mover-process.ts')
  const parts = [moving.catalog.port, group, bucket, 3 - (owners[bucket] ?? 0), step].map(String)
  const child = spawn(process.execPath, ['--import', 'tsx', script, ...parts], { stdio: ['ignore', 'pipe', 'inherit'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.once('exit', (_code, signal) => resolve(signal)))
  let signal: NodeJS.Signals | null | undefined
  void ended.then((how) => (signal = how))
  // Another mover may have been quicker, or the step too short: then the move is over with the process alive.
  await until(`the mover dies at ${step}`, async () => signal !== undefined || (said !== '' && (await moving.move(Number(said))).stage === 'done'))
  const died = signal === 'SIGKILL'
  if (!died) child.kill('SIGTERM')
  await ended
  return { id: Number(said), died }
}

test.each(steps)('killed at %s', async (step) => {
  const [before] = await ask<{ sum: string }>(cluster.port, 'SELECT sum(v) FROM c')
  let writes = 0
  const stopping = new AbortController()
  const errors: string[] = []
  const writer = (async () => {
    while (!stopping.signal.aborted) {
      await ask(cluster.port, `UPDATE c SET v = v + 1 WHERE id = ${1 + (writes % rows)}`).then(() => writes++, (error: Error) => errors.push(error.message))
    }
  })()
  try {
    for (let bucket = 0; ; bucket++) {
      const { id, died } = await moveAndDie(bucket, step)
      await moving.untilStage(id, 'done')
      if (died) break
      expect(bucket, `no mover was killed at ${step}`).toBeLessThan(8)
    }
  } finally {
    stopping.abort()
    await writer
  }
  await until('nothing is left behind', async () => (await moving.leftovers()).length === 0).catch(async () => expect(await moving.leftovers()).toEqual([]))
  const [after] = await ask<{ sum: string; count: string; ids: string }>(cluster.port, 'SELECT sum(v), count(*), count(DISTINCT id) AS ids FROM c')
  expect(after).toEqual({ sum: String(Number(before?.sum) + writes), count: String(rows), ids: String(rows) })
  expect(await ask(cluster.port, 'SELECT count(*)::int AS n, count(DISTINCT c_id)::int AS ids FROM n JOIN c ON c.id = n.c_id')).toEqual([{ n: rows, ids: rows }])
  expect(errors).toEqual([])
})
