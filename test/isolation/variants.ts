/** A spec with its holes filled: keys of one shard or of different ones, and an isolation level. */
import type { Side } from './side.ts'
import type { Spec, Step } from './parse-spec.ts'
import { WireClient } from '../support/wire-client.ts'

export interface Variant {
  readonly name: string
  readonly spec: Spec
}

/** Keys of int4 by the shard that has them: as all tables with such keys are in one group, they are there in each table. */
export type KeysByShard = readonly (readonly number[])[]

const probeRows = 200

/** Finds keys by trying, one of each bucket: in the order in which a shard comes upon their rows. The table stays: with the last one its group would go. */
export async function findKeys(cluster: Side, shardPorts: readonly number[]): Promise<KeysByShard> {
  await cluster.run(['CREATE TABLE probe (id int PRIMARY KEY)', `INSERT INTO probe SELECT generate_series(1, ${probeRows})`])
  const keys = await Promise.all(
    shardPorts.map(async (port) => {
      const client = await WireClient.connect({ port, database: cluster.database })
      const { rows } = await client.query('SELECT min(id) FROM probe GROUP BY tableoid ORDER BY tableoid')
      client.close()
      return rows.map(([id]) => Number(id))
    }),
  )
  return keys
}

export function variantsOf(spec: Spec, keys: KeysByShard): Variant[] {
  const places = spec.keys.length === 0 ? [''] : spec.keys.length === 1 ? ['one key'] : ['one shard', 'shards']
  const levels = spec.levels.length === 0 ? [''] : spec.levels
  return places.flatMap((place) =>
    levels.map((level) => {
      const values = new Map([...spec.keys.map((key, i) => [key, String(keyFor(i, place, keys))] as const), ['level', level]])
      return { name: [spec.name, place, level].filter((part) => part !== '').join(', '), spec: filled(spec, values) }
    }),
  )
}

function keyFor(i: number, place: string, keys: KeysByShard): number {
  const own = place === 'shards' ? keys[i % keys.length] : keys[0]
  const key = own?.[i]
  if (key === undefined) throw new Error('too few keys')
  return key
}

function filled(spec: Spec, values: ReadonlyMap<string, string>): Spec {
  const fill = (text: string) => text.replace(/\{(\w+)\}/g, (_, name: string) => values.get(name) ?? fail(spec, name))
  const fillStep = (step: Step) => ({ ...step, sql: fill(step.sql) })
  return {
    ...spec,
    setup: spec.setup.map(fill),
    sessions: spec.sessions.map((session) => ({
      ...session,
      connect: session.connect.map(fill),
      setup: session.setup.map(fill),
      teardown: session.teardown.map(fill),
      steps: session.steps.map(fillStep),
    })),
    permutations: spec.permutations.map((steps) => steps.map(fillStep)),
  }
}

function fail(spec: Spec, name: string): never {
  throw new Error(`${spec.name}: nothing is called {${name}}`)
}
