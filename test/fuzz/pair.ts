/** One PostgreSQL and the cluster, side by side: each step runs on both, and the answers are compared. */
import { difference } from '../parity/compare.ts'
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'
import type { Result } from '../support/wire-client.ts'
import type { Step } from './step.ts'

export interface Ports {
  readonly cluster: number
  readonly plain: number
}

export interface Outcome {
  /** Undefined where both gave the same. */
  readonly differs: string | undefined
  readonly expected: Result | undefined
  readonly actual: Result
  /** The cluster's own words for what it does not do yet. */
  readonly refusal: string | undefined
}

const emptying = ['DROP SCHEMA IF EXISTS other CASCADE', 'DROP SCHEMA public CASCADE', 'CREATE SCHEMA public']
const refuse = "DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '0A000'; END $$"

interface Databases {
  readonly cluster: string
  readonly plain: string
}

export class Pair {
  private readonly cluster: WireClient
  private readonly plain: WireClient
  private readonly ports: Ports
  private readonly databases: Databases

  private constructor(ports: Ports, databases: Databases, cluster: WireClient, plain: WireClient) {
    this.ports = ports
    this.databases = databases
    this.cluster = cluster
    this.plain = plain
  }

  /** In a fresh database on either. */
  static async open(ports: Ports): Promise<Pair> {
    const [cluster, plain] = await Promise.all([createDatabase(ports.cluster, 'fuzz'), createDatabase(ports.plain, 'fuzz')])
    const clients = await Promise.all([WireClient.connect({ port: ports.cluster, database: cluster }), WireClient.connect({ port: ports.plain, database: plain })])
    return new Pair(ports, { cluster, plain }, ...clients)
  }

  get lost(): boolean {
    return this.cluster.lost || this.plain.lost
  }

  async run(step: Step): Promise<Outcome> {
    const actual = await send(this.cluster, step)
    const code = actual.error?.sqlstate
    const refusal = code === '0A000' ? actual.error?.message : undefined
    if (step.clusterOnly === true) return { differs: refusal === undefined ? code : undefined, expected: undefined, actual, refusal }
    // What was refused on one must not be done on the other.
    const expected = await send(this.plain, refusal === undefined ? step : { sql: refuse })
    const differs = refusal !== undefined || agree(expected, actual) ? undefined : difference(step.ordered === true, expected, actual)
    // EXECUTE tells the columns of the planned statement, where a folded constant has the modifier that its cast had.
    const isFolding = differs === 'type modifiers' && step.sql.startsWith('EXECUTE')
    return { differs: isFolding ? undefined : differs, expected, actual, refusal }
  }

  /** Leaves nothing of what was done, sooner than new databases would be made. False where that failed. */
  async reset(): Promise<boolean> {
    for (const sql of ['ROLLBACK', 'DISCARD ALL', ...emptying]) {
      const results = await Promise.all([this.cluster.query(sql), this.plain.query(sql)])
      if (results.some((result) => result.error !== undefined)) return false
    }
    return true
  }

  async close(): Promise<void> {
    this.cluster.close()
    this.plain.close()
    for (const side of ['cluster', 'plain'] as const) {
      const client = await WireClient.connect({ port: this.ports[side], database: 'postgres' })
      await client.query(`DROP DATABASE ${this.databases[side]}`)
      client.close()
    }
  }
}

/** Which of several broken rules is told depends on the order of rows. */
function agree(expected: Result, actual: Result): boolean {
  const isData = (result: Result) => /^2[123]/.test(result.error?.sqlstate ?? '')
  return isData(expected) && isData(actual) && expected.status === actual.status
}

function send(client: WireClient, step: Step): Promise<Result> {
  return step.parameters === undefined ? client.query(step.sql) : client.queryWithParameters(step.sql, step.parameters)
}
