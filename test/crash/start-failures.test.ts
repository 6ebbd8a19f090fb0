/** What a person gets wrong at the start is told in one line, with exit code 1, and nothing is left running. */
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import { DevProcess, devArguments, makeDataDir } from './support/dev-process.ts'
import type { Ended } from './support/dev-process.ts'
import { killAtOnce, processesIn } from './support/processes.ts'

const isRoot = process.getuid?.() === 0

describe('dev cannot start', () => {
  let folder: string

  beforeEach(() => {
    folder = makeDataDir()
  })

  afterEach(() => {
    const left = processesIn(folder)
    killAtOnce(left)
    fs.rmSync(folder, { recursive: true, force: true })
    expect(left, 'processes left behind').toEqual([])
  })

  const run = (...args: string[]) => new DevProcess(args).end()

  test('the port is taken', async () => {
    const blocker = net.createServer().listen(0, '127.0.0.1')
    try {
      await new Promise((resolve) => blocker.once('listening', resolve))
      const { port } = blocker.address() as net.AddressInfo
      expectOneLine(await run(...devArguments(folder, port)), /port .*--port/)
    } finally {
      blocker.close()
    }
  })

  test('the data folder was made by another version', async () => {
    const dev = new DevProcess(devArguments(folder, await freePort()))
    await dev.ready()
    await dev.interrupt()
    fs.writeFileSync(path.join(folder, 'shard2', 'PG_VERSION'), '15\n')
    expectOneLine(await run(...devArguments(folder, await freePort())), /shard2 .*PostgreSQL 15.*--data-dir/)
  })

  test.skipIf(!isRoot)("PostgreSQL's user cannot reach the data folder", async () => {
    fs.chmodSync(folder, 0o700)
    expectOneLine(await run(...devArguments(path.join(folder, 'below'), await freePort())), /cannot reach .*--data-dir/)
  })

  test.skipIf(isRoot)('the data folder cannot be written', async () => {
    fs.chmodSync(folder, 0o500)
    expectOneLine(await run(...devArguments(path.join(folder, 'below'), await freePort())), /below/)
  })

  test('the data folder is a file', async () => {
    const file = path.join(folder, 'file')
    fs.writeFileSync(file, '')
    expectOneLine(await run(...devArguments(file, await freePort())), /file/)
  })

  test.skipIf(!isRoot)("a person's files in the folder are not given to PostgreSQL's user", async () => {
    const file = path.join(folder, 'mine.txt')
    fs.writeFileSync(file, '')
    const dev = new DevProcess(devArguments(folder, await freePort()))
    await dev.ready().catch(() => undefined)
    await dev.interrupt()
    expect(fs.statSync(file).uid).toBe(0)
  })

  test.each([
    [['dev', '--shards', '0'], /--shards .* from 1/],
    [['dev', '--shards', 'two'], /--shards/],
    [['dev', '--port', '65536'], /--port/],
    [['dev', '--sharts', '2'], /--sharts/],
    [['dev', '--pg-bin', '/nowhere'], /\/nowhere/],
    [['router'], /--catalog/],
    [['deploy'], /unknown command deploy/],
  ])('%j', async (args, reason) => {
    const data = args[0] === 'dev' ? ['--data-dir', folder] : []
    expectOneLine(await run(...args, ...data), reason)
  })
})

function expectOneLine(ended: Ended, reason: RegExp): void {
  expect(ended.complaints).toEqual([expect.stringMatching(/^pgherd: /)])
  expect(ended.complaints[0]).toMatch(reason)
  expect(ended.code).toBe(1)
}
