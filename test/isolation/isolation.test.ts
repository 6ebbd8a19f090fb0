/**
 * Steps of sessions in all interleavings, on one PostgreSQL and on the cluster: what they give, and who waits for whom, is the same.
 * ISOLATION_UPDATE=1 writes the list of differences anew; ISOLATION_SPEC=name runs one spec.
 */
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { complaints, entriesOf, readKnown, writeKnown } from './differences.ts'
import type { Difference, Entry } from './differences.ts'
import { parseSpec } from './parse-spec.ts'
import type { Spec } from './parse-spec.ts'
import { runPermutation } from './run-permutation.ts'
import { Side } from './side.ts'
import type { KeysByShard, Variant } from './variants.ts'
import { findKeys, variantsOf } from './variants.ts'

const folder = fileURLToPath(new URL('specs', import.meta.url))
const update = process.env['ISOLATION_UPDATE'] === '1'
const only = process.env['ISOLATION_SPEC']

const specs = fs
  .readdirSync(folder)
  .filter((file) => file.endsWith('.spec') && (only === undefined || file === `${only}.spec`))
  .sort()
  .map((file) => parseSpec(path.basename(file, '.spec'), fs.readFileSync(path.join(folder, file), 'utf8')))

describe('isolation', () => {
  const list = readKnown()
  const found = new Map<string, Entry[]>()
  let sides: readonly [plain: Side, cluster: Side]
  let keys: KeysByShard

  beforeAll(async () => {
    const plainPort = inject('plainPort')
    const plain = await Side.open(plainPort, await createDatabase(plainPort, 'isolation'), [plainPort])
    const clusterPort = inject('clusterPort')
    const database = await createDatabase(clusterPort, 'isolation')
    const [shardPorts, catalogPort] = await serversOf(clusterPort, database)
    sides = [plain, await Side.open(clusterPort, database, [catalogPort, ...shardPorts])]
    keys = await findKeys(sides[1], shardPorts)
  })
  afterAll(async () => {
    await Promise.all(sides.map((side) => side.close()))
    const kept = Object.entries(list).filter(([name]) => !found.has(name) && (only !== undefined || specs.some((spec) => name === spec.name || name.startsWith(`${spec.name}, `))))
    if (update) writeKnown(Object.fromEntries([...kept, ...found]))
  })

  for (const spec of specs) {
    test(spec.name, async () => {
      const lines: string[] = []
      try {
        await Promise.all(sides.map((side) => side.run(forSide(spec.tables, side))))
        for (const variant of variantsOf(spec, keys)) {
          const differences = await compare(variant)
          found.set(variant.name, entriesOf(differences, list[variant.name] ?? []))
          lines.push(...complaints(differences, list[variant.name] ?? []).map((line) => `${variant.name}: ${line}`))
        }
      } finally {
        await Promise.all(sides.map((side) => side.clear(spec.teardown)))
      }
      if (!update) expect(lines.join('\n')).toBe('')
    })
  }

  test('every listed difference is one of a spec', () => {
    const known = new Set(specs.flatMap((spec) => variantsOf(spec, keys).map(({ name }) => name)))
    if (only === undefined && !update) expect(Object.keys(list).filter((name) => !known.has(name))).toEqual([])
  })

  async function compare({ spec }: Variant): Promise<Difference[]> {
    const [plain, cluster] = await Promise.all(sides.map((side) => runAll(spec, side)))
    return spec.permutations.flatMap((steps, i) => {
      const [expected = [], actual = []] = [plain?.[i], cluster?.[i]]
      if (spec.anyVictim && hasOneVictim(expected) && hasOneVictim(actual)) return []
      return expected.join('\n') === actual.join('\n') ? [] : [{ permutation: steps.map(({ name }) => name).join(' '), plain: expected, cluster: actual }]
    })
  }

  /** What says how a table is placed means nothing to PostgreSQL. */
  function forSide(statements: readonly string[], side: Side): string[] {
    const others = side === sides[1] ? '/* plain */' : '/* cluster */'
    return statements.filter((sql) => !sql.startsWith(others))
  }
})

function hasOneVictim(events: readonly string[]): boolean {
  return events.filter((event) => event.endsWith('error 40P01')).length === 1 && !events.some((event) => event.endsWith(': does not end'))
}

async function runAll(spec: Spec, side: Side): Promise<string[][]> {
  await side.connect(spec.sessions.map(({ name }) => name))
  for (const { name, connect } of spec.sessions) await side.runIn(name, connect)
  const outcomes: string[][] = []
  for (const steps of spec.permutations) {
    await side.run(spec.setup)
    outcomes.push(await runPermutation(steps, spec.sessions, side))
  }
  return outcomes
}

/** The ports of a cluster's servers: a statement without tables is answered by the catalog. */
async function serversOf(clusterPort: number, database: string): Promise<[shards: number[], catalog: number]> {
  const asking = await Side.open(clusterPort, database, [])
  const shards = await asking.ask("SELECT port FROM pgherd.shards WHERE role = 'primary' ORDER BY id")
  const [catalog] = await asking.ask('SELECT inet_server_port()')
  await asking.close()
  return [shards.map(([port]) => Number(port)), Number(catalog?.[0])]
}
