/** Simulated runs hold what they must, are the same for the same seed, and find the safety steps that are taken away. */
import { execFile } from 'node:child_process'
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { plant, planted } from '../sim/planted.ts'
import { loadProduction } from '../sim/production.ts'
import { simulate } from '../sim/run.ts'

const source = fileURLToPath(new URL('../../src', import.meta.url))
const main = fileURLToPath(new URL('../sim/main.ts', import.meta.url))

/** In a process of its own, since the code that it loads is another. Gives its last line of output. */
function run(args: readonly string[]): Promise<{ readonly found: boolean; readonly output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['--import', 'tsx', main, ...args], { maxBuffer: 64 * 1024 * 1024 }, (error, stdout, stderr) => resolve({ found: error !== null && /^seed \d+: /m.test(stdout), output: stdout + stderr }))
  })
}

test('a thousand runs without a violation', async () => {
  const { output } = await run(['--runs', '1000', '--seed', '1'])
  expect(output).toMatch(/^1000 runs, \d+ events, \d+ commits, no violation/)
})

test('a seed gives the same run, in this process and in another', async () => {
  const production = await loadProduction(source)
  const [one, again] = [await simulate(7, production, true), await simulate(7, production, true)]
  expect(one.trace.length).toBeGreaterThan(10)
  expect(again).toEqual(one)
  const { output } = await run(['--runs', '1', '--seed', '7'])
  expect(output).toContain(`${one.events} events, ${one.committed} commits`)
})

test.concurrent.each(planted.map((bug) => [bug.name, bug] as const))('found: %s', { timeout: 300_000 }, async (_name, bug) => {
  const { source: copy, folder } = plant(bug)
  try {
    const { found, output } = await run(['--source', copy, '--runs', '10000', '--seed', '1'])
    expect(found, output.slice(-500)).toBe(true)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
})
