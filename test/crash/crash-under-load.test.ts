/** kill -9 of every part in the middle of writes: nothing acknowledged is lost, nothing is half-done, nobody must help. */
import fs from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { Bank } from './support/bank.ts'
import { DevProcess, devArguments, makeDataDir } from './support/dev-process.ts'
import { hasPgbench, historyLength, pgbench, pgbenchSums, processedBy, startLoad } from './support/pgbench.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { preparedNames, readServers } from './support/servers.ts'
import type { Server } from './support/servers.ts'
import { until } from './support/until.ts'

const recoveredMsMax = 30_000

describe.skipIf(!hasPgbench)(hasPgbench ? 'kill -9 under load' : 'kill -9 under load (skipped: pgbench is not on PATH)', () => {
  const dataDir = makeDataDir()
  let port = 0
  let dev: DevProcess
  let bank: Bank

  const start = async () => {
    dev = new DevProcess(devArguments(dataDir, port))
    await dev.ready()
  }
  const server = (id: number) => readServers(dataDir).find((candidate) => candidate.id === id) as Server

  /** Load, and `crash` once both kinds of client have committed under it; then the bank must come to go on by itself. */
  const crashInTheMiddle = async (crash: () => Promise<void>) => {
    const before = await historyLength(port)
    const load = startLoad(port)
    bank.start(port)
    const bankGoesOn = async () => {
      const acknowledged = bank.acknowledged.size
      await until('transfers are acknowledged', () => bank.acknowledged.size > acknowledged + 20, recoveredMsMax)
    }
    try {
      await bankGoesOn()
      await until('pgbench commits', async () => (await historyLength(port)) > before + 20)
      await crash()
      await bankGoesOn()
    } finally {
      await Promise.all([load.stop(), bank.stop()])
    }
  }

  const expectConsistent = async () => {
    await until('no prepared transaction is left', async () => (await preparedNames(readServers(dataDir))).length === 0, recoveredMsMax)
    const sums = await pgbenchSums(port)
    expect(new Set(sums).size, `sums of accounts, tellers, branches, history: ${sums.join(', ')}`).toBe(1)
    expect(await bank.findings()).toEqual([])
    expect(dev.hasEnded).toBe(false)
    const output = await pgbench(port, '-n', '-c', '8', '-t', '10')
    expect(processedBy(output)).toBe(80)
  }

  beforeAll(async () => {
    port = await freePort()
    await start()
    await pgbench(port, '-i', '-q')
    bank = new Bank(port)
    await bank.open()
  })

  afterAll(async () => {
    await bank.stop()
    await dev.interrupt()
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  test.each([
    ['a shard', 1],
    ['the catalog', 0],
  ])('%s is killed, dev starts it again; the router goes on', async (_name, id) => {
    await crashInTheMiddle(() => Promise.resolve(killAtOnce(processesIn(server(id).dataDir))))
    await expectConsistent()
  })

  test('the router is killed and dev started again', async () => {
    await crashInTheMiddle(async () => {
      killAtOnce([dev.pid])
      await dev.end()
      await start()
    })
    await expectConsistent()
  })

  test('everything is killed at once and dev started again', async () => {
    await crashInTheMiddle(async () => {
      killAtOnce([dev.pid, ...processesIn(dataDir)])
      await dev.end()
      await start()
    })
    await expectConsistent()
  })
})
