import { asTable } from '../as-table.ts'
import { command } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'

const questions = {
  shards: 'SELECT * FROM pgherd.shards ORDER BY id, role, port',
  tables: 'SELECT * FROM pgherd.tables ORDER BY table_name',
}

export const status = command({
  name: 'status',
  synopsis: `[--json] ${reachSynopsis}`,
  about: 'what a running cluster looks like',
  options: { ...reachOptions, json: { type: 'boolean', default: false } },
  async run({ values }, { terminal }) {
    const answers = await withRouter(values, async (client) => {
      const found: [string, Record<string, unknown>[]][] = []
      for (const [name, sql] of Object.entries(questions)) found.push([name, (await client.query<Record<string, unknown>>(sql)).rows])
      return found
    })
    if (values.json) terminal.print(JSON.stringify(Object.fromEntries(answers), undefined, 2))
    else for (const [name, rows] of answers) terminal.print(`${name}\n${asTable(rows)}`)
  },
})
