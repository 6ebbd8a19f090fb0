/** What else runs on the machine: clients that do not read, a second dev, other servers, processes that outlived theirs. */
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { DevProcess, devArguments, makeDataDir } from './support/dev-process.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { ask, connect, readServers } from './support/servers.ts'
import { until } from './support/until.ts'

describe('dev beside others', () => {
  let dataDir: string
  let port: number

  beforeEach(async () => {
    dataDir = makeDataDir()
    port = await freePort()
  })

  afterEach(() => {
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  const start = async () => {
    const dev = new DevProcess(devArguments(dataDir, port))
    await dev.ready()
    return dev
  }

  test('SIGINT does not wait for a client that reads nothing', async () => {
    const dev = await start()
    const socket = net.connect(port, '127.0.0.1').on('error', () => undefined)
    socket.pause()
    const parameters = Buffer.from('user\0postgres\0database\0postgres\0\0')
    const head = Buffer.alloc(8)
    head.writeInt32BE(parameters.length + 8, 0)
    head.writeInt32BE(3 << 16, 4)
    const sql = Buffer.from(`SELECT repeat('x', 1000000) FROM generate_series(1, 100)\0`)
    const query = Buffer.alloc(5)
    query.write('Q')
    query.writeInt32BE(sql.length + 4, 1)
    socket.write(Buffer.concat([head, parameters, query, sql]))
    await until('the server waits for the client', async () => {
      const rows = await ask(readServers(dataDir)[0]?.port ?? 0, `SELECT FROM pg_stat_activity WHERE wait_event = 'ClientWrite' AND query LIKE '%repeat%'`)
      return rows.length > 0
    })
    try {
      expect(await dev.interrupt(20_000)).toMatchObject({ code: 0 })
      expect(processesIn(dataDir)).toEqual([])
    } finally {
      socket.destroy()
      dev.kill('SIGKILL')
    }
  })

  test('a second dev on the same data folder is refused and does not disturb the first', async () => {
    const first = await start()
    const second = new DevProcess(devArguments(dataDir, await freePort()))
    try {
      await until('the second gives up', () => second.hasEnded, 20_000)
      expect((await second.end()).code).toBe(1)
      expect(await ask(port, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    } finally {
      await second.interrupt()
      await first.interrupt()
    }
  })

  test("a server's port that another PostgreSQL has taken meanwhile is not mistaken for the own server", async () => {
    const first = await start()
    await first.interrupt()
    const otherDir = makeDataDir()
    const other = new DevProcess(devArguments(otherDir, await freePort()))
    try {
      await other.ready()
      const file = path.join(dataDir, 'cluster.json')
      const layout = JSON.parse(fs.readFileSync(file, 'utf8')) as { catalogPort: number; shards: { port: number }[] }
      const own = layout.catalogPort
      const taken = readServers(otherDir)[0]?.port ?? 0
      fs.writeFileSync(file, JSON.stringify({ ...layout, catalogPort: taken }))
      const again = new DevProcess(devArguments(dataDir, port))
      const isReady = await again.ready().then(
        () => true,
        () => false,
      )
      if (isReady) await again.interrupt()
      expect(isReady, `it started with the other's catalog on port ${taken} in place of its own on ${own}`).toBe(false)
      expect(await again.end()).toMatchObject({ code: 1 })
    } finally {
      await other.interrupt()
      killAtOnce(processesIn(otherDir))
      fs.rmSync(otherDir, { recursive: true, force: true })
    }
  })

  test('a closed terminal (SIGHUP) leaves no process behind', async () => {
    const dev = await start()
    dev.kill('SIGHUP')
    await dev.end()
    expect(processesIn(dataDir)).toEqual([])
  })

  test('what survived its postmaster is no obstacle to the next start', async () => {
    const dev = await start()
    const [catalog, shard] = readServers(dataDir)
    if (catalog === undefined || shard === undefined) throw new Error('cluster.json names no shard')
    const client = await connect(shard.port)
    // A process that waits notices the death of its postmaster; one that computes does not, and keeps the shared memory.
    const busy = client.query('DO $$ BEGIN LOOP END LOOP; END $$').catch(() => undefined)
    await until('a process computes', async () => (await ask(shard.port, `SELECT FROM pg_stat_activity WHERE query LIKE 'DO %'`)).length > 0)
    const postmasters = [catalog, shard].map(({ dataDir: folder }) => Number(fs.readFileSync(path.join(folder, 'postmaster.pid'), 'utf8').split('\n')[0]))
    killAtOnce([dev.pid, ...postmasters])
    await dev.end()
    const again = await start()
    expect(await ask(port, 'SELECT 1 AS one')).toEqual([{ one: 1 }])
    expect(await again.interrupt()).toMatchObject({ code: 0 })
    await busy
  })
})
