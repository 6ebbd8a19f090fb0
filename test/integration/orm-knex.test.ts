/** An application on Knex finds the same on the cluster and on one PostgreSQL. */
import { expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { runKnex } from './orm/run-knex.ts'

test('Knex: migrations, queries, transactions, introspection', async () => {
  const [cluster, plain] = [inject('clusterPort'), inject('plainPort')]
  const expected = await runKnex(plain, await createDatabase(plain, 'knex'))
  expect(expected.length).toBeGreaterThan(15)
  expect(await runKnex(cluster, await createDatabase(cluster, 'knex'))).toEqual(expected)
})
