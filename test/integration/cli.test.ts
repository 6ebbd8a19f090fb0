/** The command line as processes: finding commands, finding the router, and what is said when that fails. */
import fs from 'node:fs'
import path from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { freePort } from '../../src/embedded/free-port.ts'
import type { TestCluster } from '../support/cluster.ts'
import { startTestCluster } from '../support/cluster.ts'
import { pgherd } from './cli/pgherd.ts'

let cluster: TestCluster

beforeAll(async () => {
  cluster = await startTestCluster({ shards: 2, replicas: 0 })
})

afterAll(async () => {
  const file = path.join(cluster.dataDir, 'router.json')
  expect(fs.existsSync(file)).toBe(true)
  await cluster.running.stop()
  expect(fs.existsSync(file)).toBe(false)
  await cluster.stop()
})

test('help names every command, and a command helps with itself', async () => {
  const [all, none, own] = await Promise.all([pgherd('--help'), pgherd(), pgherd('status', '--help')])
  expect(all).toMatchObject({ code: 0, errors: '' })
  for (const name of ['dev', 'router', 'init', 'status']) expect(all.out).toMatch(new RegExp(`^pgherd ${name} `, 'm'))
  expect(none.out).toBe(all.out)
  expect(own).toMatchObject({ code: 0, errors: '' })
  expect(own.out).toMatch(/^pgherd status .*--data-dir/)
})

test.each([
  [['stauts'], /^pgherd: unknown command stauts \(see pgherd --help\)\n$/],
  [['--port', '5'], /^pgherd: name a command first/],
  [['status', '--nope'], /^pgherd: .*--nope/],
  [['status', 'here'], /^pgherd: it is: pgherd status \[--json\]/],
  [['status', '--port', 'x'], /^pgherd: --port must be a whole number/],
  [['dev', '--shards', '0'], /^pgherd: --shards must be a whole number from 1 to 32\n$/],
  [['router'], /^pgherd: router needs --catalog\n$/],
])('%j is refused in one line', async (args, message) => {
  const { code, out, errors } = await pgherd(...args)
  expect({ code, out }).toEqual({ code: 1, out: '' })
  expect(errors).toMatch(message)
  expect(errors.trimEnd().split('\n')).toHaveLength(1)
})

test('a router is found by its port and by the data directory', async () => {
  const [byPort, byFolder] = await Promise.all([pgherd('status', '--json', '--port', String(cluster.port)), pgherd('status', '--json', '--data-dir', cluster.dataDir)])
  expect(byPort).toMatchObject({ code: 0, errors: '' })
  expect((JSON.parse(byPort.out) as { shards: unknown[] }).shards).toHaveLength(2)
  expect(byFolder).toEqual(byPort)
  const table = await pgherd('status', '--data-dir', cluster.dataDir)
  expect(table.out).toMatch(/^shards\n {2}id +name/)
})

test('what cannot be found is said', async () => {
  const port = String(await freePort())
  expect(await pgherd('status', '--port', port)).toMatchObject({ code: 1, errors: expect.stringContaining(`no router answers on 127.0.0.1:${port}`) as string })
  const folder = fs.mkdtempSync(path.join(cluster.dataDir, 'other-'))
  expect((await pgherd('status', '--data-dir', folder)).errors).toBe(`pgherd: no cluster runs in ${folder}: start it with pgherd dev --data-dir ${folder}\n`)
  // A cluster that was killed: another process has its number by now, or none.
  const file = { ...(JSON.parse(fs.readFileSync(path.join(cluster.dataDir, 'router.json'), 'utf8')) as object), pid: process.ppid }
  fs.writeFileSync(path.join(folder, 'router.json'), JSON.stringify(file))
  expect((await pgherd('status', '--data-dir', folder)).errors).toMatch(/no cluster runs in/)
  expect((await pgherd('status', '--data-dir', path.join(folder, 'none'))).errors).toMatch(/there is no folder/)
  expect((await pgherd('status', '--data-dir', cluster.dataDir, '--port', '1')).errors).toMatch(/leave --host and --port out/)
})
