/** Transactions that write one row on each of some servers, and what the servers say became of them. */
import type pg from 'pg'
import type { FaultCluster } from './fault-cluster.ts'

export interface Scenario {
  readonly name: string
  /** Shards that it writes on, in order. */
  readonly shards: readonly number[]
  /** Writes a temporary table too: the catalog has it, and so must decide. */
  readonly hasTemporary: boolean
}

export const scenarios: readonly Scenario[] = [
  { name: 'two shards', shards: [1, 2], hasTemporary: false },
  { name: 'three shards', shards: [1, 2, 3], hasTemporary: false },
  { name: 'two shards and the catalog', shards: [1, 2], hasTemporary: true },
]

const rows = 12_000

/** Rows of which each transaction takes some for itself. */
export class Rows {
  private readonly cluster: FaultCluster
  private readonly free = new Map<number, number[]>()

  constructor(cluster: FaultCluster) {
    this.cluster = cluster
  }

  async open(port: number, connect: (port: number) => Promise<pg.Client>): Promise<void> {
    const client = await connect(port)
    await client.query('CREATE TABLE account (id int PRIMARY KEY, mark text)')
    await client.query(`INSERT INTO account SELECT i, '' FROM generate_series(1, ${rows}) i`)
    await client.end()
    for (const { id } of this.cluster.servers.slice(1)) {
      this.free.set(id, (await this.cluster.ask<{ id: number }>(id, 'SELECT id FROM account')).map((row) => row.id))
    }
  }

  take(shard: number): number {
    const id = this.free.get(shard)?.pop()
    if (id === undefined) throw new Error(`no row is left on shard ${shard}`)
    return id
  }
}

export interface Transfer {
  readonly marker: string
  readonly scenario: Scenario
  /** By shard of the scenario. */
  readonly ids: readonly number[]
}

const triesMax = 5

/** All but its COMMIT. A connection that another transaction's fault has broken, and that has come back to the pool, costs a try. */
export async function write(client: pg.Client, transfer: Transfer): Promise<void> {
  for (let tries = 1; ; tries++) {
    try {
      return await writeOnce(client, transfer)
    } catch (error) {
      if (tries === triesMax || (error as pg.DatabaseError).code === undefined) throw error
      await client.query('ROLLBACK')
    }
  }
}

async function writeOnce(client: pg.Client, { marker, scenario, ids }: Transfer): Promise<void> {
  await client.query('BEGIN')
  if (scenario.hasTemporary) {
    await client.query('CREATE TEMPORARY TABLE note (mark text)')
    await client.query(`INSERT INTO note VALUES ('${marker}')`)
  }
  for (const id of ids) await client.query(`UPDATE account SET mark = '${marker}' WHERE id = ${id}`)
}

/** On how many of its shards it is to be seen. */
export async function seenOn(cluster: FaultCluster, { marker, scenario, ids }: Transfer): Promise<number> {
  const seen = await Promise.all(scenario.shards.map((shard, i) => cluster.ask(shard, `SELECT FROM account WHERE id = ${ids[i]} AND mark = '${marker}'`)))
  return seen.flat().length
}

/** Throws while something holds one of its rows. */
export async function assertUnlocked(cluster: FaultCluster, { scenario, ids }: Transfer): Promise<void> {
  await Promise.all(scenario.shards.map((shard, i) => cluster.ask(shard, `SELECT FROM account WHERE id = ${ids[i]} FOR UPDATE NOWAIT`)))
}
