/** Wire scripts (wire/script.ts) on the router and on plain PostgreSQL: both must answer message for message, but for listed differences. */
import fs from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'
import { parseScript, printScript, runScenario } from './wire/script.ts'

const folder = path.join(import.meta.dirname, '../wire')
const schema = fs.readFileSync(path.join(folder, 'schema.sql'), 'utf8')
const files = fs.readdirSync(folder).filter((name) => name.endsWith('.txt')).sort()
const ports = { postgres: inject('plainPort'), router: inject('clusterPort') }
const databases = { postgres: '', router: '' }

beforeAll(async () => {
  for (const server of ['postgres', 'router'] as const) {
    databases[server] = await createDatabase(ports[server], 'wire')
    const client = await WireClient.connect({ port: ports[server], database: databases[server] })
    const { error } = await client.query(schema)
    client.close()
    expect(error).toBeUndefined()
  }
})

describe.each(files)('%s', (file) => {
  const text = fs.readFileSync(path.join(folder, file), 'utf8')
  const scenarios = parseScript(text)

  if (process.env['WIRE_UPDATE'] !== undefined) {
    test('is written anew from what PostgreSQL answers', async () => {
      const answered = []
      for (const scenario of scenarios) answered.push(await runScenario(scenario, ports.postgres, databases.postgres))
      fs.writeFileSync(path.join(folder, file), printScript(answered))
    })
    return
  }

  test.each(scenarios)('$title', async (scenario) => {
    expect(scenario.packets.some(({ answers }) => answers.length > 0)).toBe(true)
    for (const server of ['postgres', 'router'] as const) {
      const answered = await runScenario(scenario, ports[server], databases[server])
      if (server === 'router' && scenario.difference !== undefined) expect(printScript([answered]), 'the difference is gone').not.toBe(printScript([scenario]))
      else expect(printScript([answered]), server).toBe(printScript([scenario]))
    }
  })
})
