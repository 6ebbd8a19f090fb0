/** Starting, stopping, starting again: data stay, processes do not. As root and as an ordinary user. */
import fs from 'node:fs'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { DevProcess, devArguments, makeDataDir } from './support/dev-process.ts'
import type { Identity } from './support/dev-process.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { ask } from './support/servers.ts'
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
    await until('a server runs', () => dev.progress.includes('on port'), 60_000)
    await dev.interrupt()
    expectStopped()
    expect(await (await start()).interrupt()).toMatchObject({ code: 0 })
  })

  test.skipIf(identity === undefined)('SIGINT between the start of the servers and that of the router', async () => {
    const dev = new DevProcess(devArguments(dataDir, port), identity)
    await until('all servers run', () => (dev.progress.match(/on port/g) ?? []).length === 3, 60_000)
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

  test.skipIf(identity === undefined)('kill -9 of the router alone: what it had started ends with the next start, Redis too', async () => {
    const first = await start()
    const before = processesIn(dataDir)
    killAtOnce([first.pid])
    await first.end()
    const second = await start()
    expect(processesIn(dataDir).filter((pid) => before.includes(pid))).toEqual([])
    expect(await second.interrupt()).toMatchObject({ code: 0 })
    expectStopped()
  })
})
