/** A failed transaction takes nothing but its end, also from clients of the extended protocol, and looks at nothing before it says so. */
import { expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'

test('a parameter of a table that is not there is 25P02 in a failed transaction', async () => {
  for (const port of [inject('plainPort'), inject('clusterPort')]) {
    const client = await WireClient.connect({ port, database: await createDatabase(port, 'failed') })
    try {
      await client.query('BEGIN')
      expect((await client.query('SELECT 1 / 0')).error?.sqlstate).toBe('22012')
      const value = { oid: 0, value: Buffer.from('1'), binary: false }
      const result = await client.queryWithParameters('SELECT * FROM not_there WHERE id = $1', [value])
      expect([result.error?.sqlstate, result.status]).toEqual(['25P02', 'E'])
      const end = await client.queryWithParameters('ROLLBACK', [])
      expect([end.error, end.tags, end.status]).toEqual([undefined, ['ROLLBACK'], 'I'])
    } finally {
      client.close()
    }
  }
})
