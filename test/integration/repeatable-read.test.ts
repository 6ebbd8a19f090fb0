/** REPEATABLE READ: what was committed after a transaction's first statement is not seen on any shard. */
import { expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'

test('all statements see what was committed before the first', async () => {
  for (const port of [inject('plainPort'), inject('clusterPort')]) {
    const database = await createDatabase(port, 'snapshots')
    const [reader, writer] = [await WireClient.connect({ port, database }), await WireClient.connect({ port, database })]
    const rows = async (client: WireClient, sql: string) => {
      const result = await client.query(sql)
      return result.error?.sqlstate ?? result.rows
    }
    try {
      await rows(writer, 'CREATE TABLE t (id int PRIMARY KEY, n int)')
      await rows(writer, 'CREATE TABLE r (id int PRIMARY KEY, n int)')
      if (port === inject('clusterPort')) expect(await rows(writer, `SELECT create_reference_table('r')`)).toEqual([['']])
      await rows(writer, 'INSERT INTO t SELECT g, 1 FROM generate_series(1, 20) g')
      await rows(writer, 'INSERT INTO r VALUES (1, 1)')
      // Once with a first statement for one shard, once for all of them.
      for (const first of ['SELECT id FROM t WHERE id = 1', 'SELECT count(*) FROM t']) {
        const before = await rows(writer, 'SELECT sum(n), count(*) FROM t')
        await rows(reader, 'BEGIN ISOLATION LEVEL REPEATABLE READ')
        await rows(reader, first)
        await rows(writer, 'UPDATE t SET n = n + 1')
        await rows(writer, 'INSERT INTO t SELECT max(id) + 1, 1 FROM t')
        await rows(writer, 'UPDATE r SET n = n + 1')
        expect(await rows(reader, 'SELECT sum(n), count(*) FROM t')).toEqual(before)
        expect(await rows(reader, 'SELECT count(DISTINCT n) FROM t JOIN (SELECT id FROM r WHERE n = 1) r ON r.id > 0')).toEqual([[first.includes('count') ? '0' : '1']])
        expect(await rows(reader, 'UPDATE t SET n = 0 WHERE id = 7')).toBe('40001')
        await rows(reader, 'ROLLBACK')
        expect(await rows(reader, 'SELECT sum(n), count(*) FROM t')).not.toEqual(before)
      }
    } finally {
      reader.close()
      writer.close()
    }
  }
})
