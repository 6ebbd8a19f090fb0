/** An application on SQLAlchemy finds the same on the cluster and on one PostgreSQL. */
import { describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import { run, sourceFolder } from './drivers/program.ts'
import { pythonProgram } from './drivers/python.ts'

const folder = sourceFolder('sqlalchemy')
const program = await pythonProgram('sqlalchemy', folder, 'check.py', 'sqlalchemy, psycopg')

async function outputOf(port: number): Promise<string> {
  if ('missing' in program) return ''
  const { ok, output } = await run(program.command, [...program.args, String(port), await createDatabase(port, 'sqlalchemy')], folder)
  expect(ok ? '' : output).toBe('')
  return output
}

describe.skipIf('missing' in program)('missing' in program ? `SQLAlchemy (skipped: ${program.missing})` : 'SQLAlchemy', () => {
  test('schema, relations, transactions, introspection', async () => {
    const expected = await outputOf(inject('plainPort'))
    expect(expected.split('\n').length).toBeGreaterThan(30)
    expect(await outputOf(inject('clusterPort'))).toBe(expected)
  })
})
