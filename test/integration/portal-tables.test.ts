/** Rows that are fetched in parts wait in tables of their own: what the user calls or writes as those are named stays as it is. */
import { expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'

const queries = [
  `SELECT a.id, 'pgherd_g1 pgherd_gq1' AS "pgherd_g1", 'pgherd_g1' FROM part a JOIN part b ON a.n = b.n ORDER BY 1`,
  `SELECT n, count(*), 'pgherd_gq1', E'\\'pgherd_gq1', $$pgherd_gq1$$ AS pgherd_gq1 FROM part GROUP BY n HAVING count(*) > 0 AND 'pgherd_g' || n <> 'x' ORDER BY n`,
  `SELECT pgherd_g1.id, sum(pgherd_g1.n) OVER (ORDER BY pgherd_g1.id) AS pgherd_g2 FROM part pgherd_g1 JOIN part AS p ON pgherd_g1.n = p.n ORDER BY 1`,
  `SELECT (SELECT max(n) FROM part) AS pgherd_gq1, x.* FROM (SELECT DISTINCT n AS pgherd_g1 FROM part) x ORDER BY 2`,
]

test('a cursor, and a portal with a limit of rows, give the words that one PostgreSQL gives', async () => {
  const answers = await Promise.all(
    [inject('plainPort'), inject('clusterPort')].map(async (port) => {
      const client = await WireClient.connect({ port, database: await createDatabase(port, 'portal_tables') })
      const results: unknown[] = []
      const note = async (sql: string) => {
        const { columns, rows, tags, error } = await client.query(sql)
        results.push([columns?.map(({ name }) => name), rows, tags, error?.message])
      }
      await note('CREATE TABLE part (id int PRIMARY KEY, n int)')
      await note('INSERT INTO part SELECT g, g % 3 FROM generate_series(1, 9) g')
      await note('BEGIN')
      for (const [i, query] of queries.entries()) {
        await note(`DECLARE c${i} CURSOR FOR ${query}`)
        await note(query)
        await note(`FETCH 2 FROM c${i}`)
        const { columns, rows, error } = await client.queryInParts(query, 4)
        results.push([columns?.map(({ name }) => name), rows, error?.message])
        await note(`FETCH ALL FROM c${i}`)
      }
      await note('COMMIT')
      client.close()
      return results
    }),
  )
  expect(answers[1]).toEqual(answers[0])
  expect(answers[0]?.flat()).not.toContain('the transaction is aborted')
  expect(JSON.stringify(answers[0])).toContain('pgherd_g1 pgherd_gq1')
})
