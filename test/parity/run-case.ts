/**
 * Runs a file of statements on PostgreSQL and on the cluster, and names every statement whose answers differ.
 *
 * A *refusal* is SQLSTATE 0A000 from the cluster where PostgreSQL gave something else. What follows from a refusal (a table that was
 * never made, a transaction that is now failed) is told from real mistakes by a third run, the *witness*: PostgreSQL again,
 * with an error in the place of each refused statement. Where the cluster agrees with the witness, the difference is a
 * *consequence* of refusals; where it differs from both, it is a *bug*.
 */
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'
import type { Result } from '../support/wire-client.ts'
import { difference, isOrdered } from './compare.ts'
import type { CaseStatement } from './split-statements.ts'

export interface Difference {
  readonly kind: 'refusal' | 'consequence' | 'bug'
  readonly statement: CaseStatement
  readonly differs: string
  readonly expected: Result
  readonly actual: Result
}

export interface Ports {
  readonly cluster: number
  readonly plain: number
}

const refuse = "DO $$ BEGIN RAISE EXCEPTION 'refused' USING ERRCODE = '0A000'; END $$"

export async function runCase(statements: readonly CaseStatement[], ports: Ports): Promise<Difference[]> {
  const texts = statements.map((statement) => statement.sql)
  const plainTexts = texts.map((sql) => (isForCluster(sql) ? 'SELECT' : sql))
  const [expected, actual] = await Promise.all([runAll(ports.plain, plainTexts), runAll(ports.cluster, texts)])
  const refused = texts.map((_, i) => actual[i]?.error?.sqlstate === '0A000' && expected[i]?.error?.sqlstate !== '0A000')
  const witness = refused.includes(true) ? await runAll(ports.plain, plainTexts.map((sql, i) => (refused[i] ? refuse : sql))) : expected
  return statements.flatMap((statement, i): Difference[] => {
    const [expectedOne, actualOne, witnessOne] = [expected[i], actual[i], witness[i]]
    if (expectedOne === undefined || actualOne === undefined || witnessOne === undefined) return []
    if (isForCluster(statement.sql)) return actualOne.error === undefined ? [] : [{ kind: 'bug', statement, differs: 'error', expected: expectedOne, actual: actualOne }]
    const differs = difference(isOrdered(statement.sql), expectedOne, actualOne)
    const fromWitness = refused[i] ? undefined : difference(isOrdered(statement.sql), witnessOne, actualOne)
    if (fromWitness !== undefined) return [{ kind: 'bug', statement, differs: fromWitness, expected: witnessOne, actual: actualOne }]
    if (differs === undefined) return []
    return [{ kind: refused[i] ? 'refusal' : 'consequence', statement, differs, expected: expectedOne, actual: actualOne }]
  })
}

/** A statement that means something to the cluster alone, such as the choice of a table's kind; it must succeed there. */
const isForCluster = (sql: string) => sql.startsWith('/* cluster */')

/** Each statement by itself in one session, in a fresh database. A lost session is replaced, and the run goes on. */
async function runAll(port: number, texts: readonly string[]): Promise<Result[]> {
  const database = await createDatabase(port, 'parity')
  let client = await WireClient.connect({ port, database })
  const results: Result[] = []
  for (const sql of texts) {
    if (client.lost) client = await WireClient.connect({ port, database })
    results.push(await client.query(sql))
  }
  client.close()
  return results
}
