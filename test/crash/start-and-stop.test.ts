/** Starting, stopping, starting again: data stay, processes do not. As root and as an ordinary user. */
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { DevProcess, devArguments, makeDataDir } from './support/dev-process.ts'
import type { Identity } from './support/dev-process.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { ask, readServers } from './support/servers.ts'
import { until } from './support/until.ts'

const isRoot = process.getuid?.() === 0

/** Of /etc/passwd; undefined where there is no such user, or nobody may become it. */
function ordinaryUser(): { uid: number; gid: number } | undefined {
  const line = fs.readFileSync('/etc/passwd', 'utf8').split('\n').find((entry) => entry.startsWith('nobody:'))
  const [, , uid, gid] = line?.split(':') ?? []
  return isRoot && uid !== undefined ? { uid: Number(uid), gid: Number(gid) } : undefined
}

const ordinary = ordinaryUser()

const users: [string, Identity | undefined][] = [
  [isRoot ? 'as root' : 'as an ordinary user', {}],
  ['as another, ordinary user', ordinary && { ...ordinary, env: { HOME: '/tmp', USER: 'nobody' } }],
]

describe.each(users)('dev %s', (_name, identity) => {
  let dataDir: string
  let port: number

  beforeEach(async () => {
    dataDir = makeDataDir()
    if (identity?.uid !== undefined) fs.chownSync(dataDir, identity.uid, identity.gid ?? identity.uid)
    port = await freePort()
  })

  afterEach(() => {
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  const start = async (...more: string[]) => {
    const dev = new DevProcess(devArguments(dataDir, port, more), identity)
    await dev.ready()
    return dev
  }
  const expectStopped = () => expect(processesIn(dataDir), 'processes left behind').toEqual([])

  test.skipIf(identity === undefined)('SIGINT leaves no process behind, and the second start is quick and has the data', async () => {
    const first = await start('--replicas', '1')
    await ask(port, 'CREATE TABLE kept (id integer PRIMARY KEY)')
    await ask(port, 'INSERT INTO kept SELECT generate_series(1, 100)')
    expect(await first.interrupt()).toMatchObject({ code: 0, complaints: [] })
    expectStopped()
    const before = performance.now()
    const second = await start('--replicas', '1')
    expect(performance.now() - before, 'ms to start again').toBeLessThan(10_000)
    expect(await ask(port, 'SELECT count(*)::integer AS rows FROM kept')).toEqual([{ rows: 100 }])
    expect(await second.interrupt()).toMatchObject({ code: 0 })
    expectStopped()
  })

  test.skipIf(identity === undefined)('SIGINT in the middle of the first start leaves no process behind, and the next start works', async () => {
    const dev = new DevProcess(devArguments(dataDir, port), identity)
    await until('a server runs', () => fs.existsSync(path.join(dataDir, 'catalog', 'postmaster.pid')), 60_000)
    await dev.interrupt()
    expectStopped()
    expect(await (await start()).interrupt()).toMatchObject({ code: 0 })
  })

  test.skipIf(identity === undefined)('kill -9 in the middle of the first start is no obstacle to the next', async () => {
    const dev = new DevProcess(devArguments(dataDir, port, ['--replicas', '1']), identity)
    await until('a replica is being copied', () => fs.existsSync(path.join(dataDir, 'shard1-replica1', 'PG_VERSION')), 60_000)
    killAtOnce([dev.pid, ...processesIn(dataDir)])
    await dev.end()
    expect(await (await start('--replicas', '1')).interrupt()).toMatchObject({ code: 0 })
    expectStopped()
  })
})

describe('dev', () => {
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
})
