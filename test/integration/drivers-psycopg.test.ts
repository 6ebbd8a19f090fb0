/** psycopg 3 (libpq underneath): a Python program of its own, since what counts is what libpq makes of the answers. */
import { spawn, spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'

const script = fileURLToPath(new URL('psycopg/check.py', import.meta.url))
/** PYTHON names an interpreter that has psycopg, for instance one of a virtual environment. */
const python = process.env['PYTHON'] ?? 'python3'
const hasPsycopg = spawnSync(python, ['-c', 'import psycopg']).status === 0
const checks = ['parameters', 'prepared', 'pipeline', 'pipeline_error', 'binary_cursor', 'copy_in', 'copy_binary', 'copy_out', 'copy_error', 'named_cursor', 'savepoints', 'errors', 'cancel_one', 'cancel_all', 'notify', 'executemany', 'empty']

describe.skipIf(!hasPsycopg)('psycopg (skipped: python3 has no psycopg)', () => {
  let database: Promise<string> | undefined

  test.each(checks)('%s', async (check) => {
    const port = inject('clusterPort')
    database ??= createDatabase(port, 'drivers_psycopg')
    const child = spawn(python, [script, check, `host=127.0.0.1 port=${port} user=postgres dbname=${await database}`])
    let complaints = ''
    child.stdout.resume()
    child.stderr.setEncoding('utf8').on('data', (chunk: string) => (complaints += chunk))
    const code = await new Promise((resolve) => child.once('close', resolve))
    expect(complaints).toBe('')
    expect(code).toBe(0)
  })
})
