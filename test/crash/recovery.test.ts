/**
 * What a dead coordinator left, made by hand and not by timing: transactions prepared on a shard under the names of
 * commit.ts, with and without their decision. A router that runs must finish each as its decider says.
 */
import fs from 'node:fs'
import type pg from 'pg'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { preparedName } from '../../src/transaction/branch.ts'
import { DevProcess, devArguments, makeDataDir } from './support/dev-process.ts'
import { ask, connect, preparedNames, readServers } from './support/servers.ts'
import type { Server } from './support/servers.ts'
import { killAtOnce, processesIn } from './support/processes.ts'
import { until } from './support/until.ts'

/** A prepared transaction must be 2 s old, and passes come every second; the rest is for a busy machine. */
const recoveredMsMax = 20_000

describe('recovery of prepared transactions', () => {
  const dataDir = makeDataDir()
  let dev: DevProcess
  let servers: Server[]
  let clusterId: string
  let number = 0

  const server = (id: number) => servers.find((candidate) => candidate.id === id) as Server
  const newId = () => `00000000000000000000${String(++number).padStart(4, '0')}`

  /** A row on the shard, prepared under a name, as a coordinator's first step leaves it. */
  const prepare = async (on: Server, id: string, name: string) => {
    const client = await connect(on.port)
    await client.query('BEGIN')
    await client.query('INSERT INTO crash_mark VALUES ($1)', [id])
    await client.query(`PREPARE TRANSACTION '${name}'`)
    await client.end()
  }
  const decide = (on: Server, id: string) => ask(on.port, `SELECT pgherd.decide('${id}')`)
  const isCommitted = async (on: Server, id: string) => (await ask(on.port, `SELECT id FROM crash_mark WHERE id = '${id}'`)).length === 1
  const outcomes = (on: Server, id: string) => ask<{ outcome: string }>(on.port, `SELECT outcome FROM pgherd.decision WHERE id = '${id}'`)
  const finished = (name: string) => until(`${name} is finished`, async () => !(await preparedNames(servers)).includes(name), recoveredMsMax)

  beforeAll(async () => {
    dev = new DevProcess(devArguments(dataDir, await freePort()))
    await dev.ready()
    servers = readServers(dataDir)
    const [cluster] = await ask<{ id: string }>(server(0).port, 'SELECT id FROM pgherd.cluster', 'pgherd')
    clusterId = cluster?.id ?? ''
    expect(clusterId).not.toBe('')
    for (const { port } of servers) await ask(port, 'CREATE TABLE crash_mark (id text)')
  })

  afterAll(async () => {
    await dev.interrupt()
    killAtOnce(processesIn(dataDir))
    fs.rmSync(dataDir, { recursive: true, force: true })
  })

  test.each([
    ['a shard that another shard decides for', 1, 2],
    ['a shard that the catalog decides for', 2, 0],
    ['the catalog that a shard decides for', 0, 1],
  ])('%s: committed with the decision, rolled back without', async (_name, on, decider) => {
    const [committed, aborted] = [newId(), newId()]
    const names = [committed, aborted].map((id) => preparedName(clusterId, id, decider))
    await decide(server(decider), committed)
    for (const [i, id] of [committed, aborted].entries()) await prepare(server(on), id, names[i] ?? '')
    for (const name of names) await finished(name)
    expect(await isCommitted(server(on), committed)).toBe(true)
    expect(await isCommitted(server(on), aborted)).toBe(false)
    expect(await outcomes(server(decider), committed)).toEqual([{ outcome: 'committed' }])
    expect(await outcomes(server(decider), aborted)).toEqual([{ outcome: 'aborted' }])
  })

  test('a transaction prepared on two servers ends the same on both', async () => {
    const id = newId()
    const name = preparedName(clusterId, id, 0)
    await decide(server(0), id)
    await Promise.all([1, 2].map((on) => prepare(server(on), id, name)))
    await finished(name)
    expect(await Promise.all([1, 2].map((on) => isCommitted(server(on), id)))).toEqual([true, true])
  })

  test('once it was given up, its coordinator can decide no more', async () => {
    const id = newId()
    const name = preparedName(clusterId, id, 2)
    await prepare(server(1), id, name)
    await finished(name)
    await expect(decide(server(2), id)).rejects.toMatchObject({ code: '23505' })
    expect(await isCommitted(server(1), id)).toBe(false)
  })

  test('names of another cluster, and of nobody, are left alone', async () => {
    const other = clusterId === 'ffffffff' ? '00000000' : 'ffffffff'
    const foreign = [preparedName(other, newId(), 2), preparedName(`${clusterId}0`, newId(), 2), `x${preparedName(clusterId, newId(), 2)}`, 'mine']
    const own = newId()
    for (const name of foreign) await prepare(server(1), newId(), name)
    await prepare(server(1), own, preparedName(clusterId, own, 2))
    // Its own came last, so a pass that finishes it has seen them all.
    await finished(preparedName(clusterId, own, 2))
    expect((await preparedNames(servers)).sort()).toEqual([...foreign].sort())
    for (const name of foreign) await ask(server(1).port, `ROLLBACK PREPARED '${name}'`)
  })

  describe('a decider still in flight', () => {
    let open: pg.Client
    let undecided: string
    let waiting: string

    /** The coordinator has inserted its decision, and its COMMIT is still on its way. */
    beforeEach(async () => {
      undecided = newId()
      waiting = preparedName(clusterId, undecided, 2)
      open = await connect(server(2).port)
      await open.query('BEGIN')
      await open.query(`SELECT pgherd.decide('${undecided}')`)
      await prepare(server(1), undecided, waiting)
      // The wait of recovery for this very transaction is what must be seen before it ends.
      await until('recovery waits for the decider', async () => {
        const sql = `SELECT FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO pgherd.decision%'`
        return (await ask(server(2).port, sql)).length > 0
      })
      return () => open.end()
    })

    test('that commits: recovery commits', async () => {
      await open.query('COMMIT')
      await finished(waiting)
      expect(await isCommitted(server(1), undecided)).toBe(true)
    })

    test('that rolls back: recovery rolls back', async () => {
      await open.query('ROLLBACK')
      await finished(waiting)
      expect(await isCommitted(server(1), undecided)).toBe(false)
    })

    test('keeps no other transaction waiting', async () => {
      const other = newId()
      const name = preparedName(clusterId, other, 0)
      await decide(server(0), other)
      await prepare(server(1), other, name)
      await finished(name)
      expect(await isCommitted(server(1), other)).toBe(true)
      expect(await preparedNames(servers)).toContain(waiting)
      await open.query('COMMIT')
      await finished(waiting)
    })

    // The last test of this file: it stops the cluster.
    test('does not keep SIGINT waiting', async () => {
      expect(await dev.interrupt(20_000)).toMatchObject({ code: 0 })
      expect(processesIn(dataDir)).toEqual([])
    })
  })
})
