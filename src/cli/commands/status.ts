import { asTable } from '../as-table.ts'
import { command } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'

const questions = {
  shards: 'SELECT * FROM pgherd.shards ORDER BY id, role, port',
  tables: 'SELECT * FROM pgherd.tables ORDER BY table_name',
  moves: `SELECT id, tables, bucket, source, target, stage, wanted, bytes::float8 AS bytes, bytes_total::float8 AS bytes_total, bytes_per_second::float8 AS bytes_per_second,
    lag_bytes::float8 AS lag_bytes, time_left::text AS time_left, error FROM pgherd.moves WHERE stage NOT IN ('done', 'undone') ORDER BY id`,
}

export const status = command({
  name: 'status',
  synopsis: `[--json] ${reachSynopsis}`,
  about: 'what a running cluster looks like: its shards, its tables, and the moves that are not over',
  options: { ...reachOptions, json: { type: 'boolean', default: false } },
  async run({ values }, { terminal }) {
    const answers = await withRouter(values, async (client) => {
      const found: [string, Record<string, unknown>[]][] = []
      for (const [name, sql] of Object.entries(questions)) found.push([name, (await client.query<Record<string, unknown>>(sql)).rows])
      return found
    })
    if (values.json) terminal.print(JSON.stringify(Object.fromEntries(answers), undefined, 2))
    else for (const [name, rows] of answers) terminal.print(`${name}\n${rows.length === 0 ? '  none' : asTable(rows)}`)
  },
})
