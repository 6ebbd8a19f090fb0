/** An application on SQLAlchemy finds the same on the cluster and on one PostgreSQL. */
import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'

const script = fileURLToPath(new URL('orm/sqlalchemy_check.py', import.meta.url))
/** PYTHON names an interpreter that has SQLAlchemy and psycopg, for instance one of a virtual environment. */
const python = process.env['PYTHON'] ?? 'python3'
const hasSqlAlchemy = spawnSync(python, ['-c', 'import sqlalchemy, psycopg']).status === 0

async function run(port: number): Promise<string> {
  const child = spawn(python, [script, String(port), await createDatabase(port, 'sqlalchemy')])
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  const code = await new Promise((resolve) => child.once('close', resolve))
  expect(`${String(code)} ${code === 0 ? '' : output}`).toBe('0 ')
  return output
}

describe.skipIf(!hasSqlAlchemy)('SQLAlchemy (skipped: python3 has no sqlalchemy and psycopg)', () => {
  test('schema, relations, transactions, introspection', async () => {
    const expected = await run(inject('plainPort'))
    expect(expected.split('\n').length).toBeGreaterThan(30)
    expect(await run(inject('clusterPort'))).toBe(expected)
  })
})
