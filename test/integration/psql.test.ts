/**
 * psql on the cluster shows what it shows on one PostgreSQL with the same schema: every command that lists, and those that move
 * rows. Newer psqls than the one installed send other queries; those are compared as they are.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { splitStatements } from '../parity/split-statements.ts'
import { createDatabase } from '../support/databases.ts'
import { WireClient } from '../support/wire-client.ts'
import { hasPsql } from './chinook/load.ts'

const read = (name: string) => fs.readFileSync(new URL(`psql/${name}`, import.meta.url), 'utf8')
const commands = read('commands.txt').split('\n').filter((line) => line !== '')

interface Place {
  readonly port: number
  readonly database: string
}

/** Both outputs of psql in one, as a terminal shows them. */
function runPsql({ port, database }: Place, input: string, role: string): Promise<string> {
  const names = ['-v', `role_=${role}`, '-v', `role_ro=${role}ro`, '-v', `role_rw=${role}rw`]
  const words = ['psql', '-X', '-a', ...names, '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-d', database]
  const child = spawn('sh', ['-c', 'exec "$@" 2>&1', 'sh', ...words])
  let output = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk))
  child.stdin.end(input)
  return new Promise((resolve) => child.once('close', () => resolve(output)))
}

/** What differs on any two servers. */
function tidy(output: string): string {
  return output
    .replace(/pg_toast_\d+/g, 'pg_toast_N')
    .replace(/psql_[0-9a-f]+/g, 'DATABASE')
    .replace(/port "\d+"/g, 'port N')
    .replace(/\d\d:\d\d:\d\d|(?<=\(every ).*(?=\))|\d+(\.\d+)? ms/g, 'TIME')
    .replace(/ +\|/g, ' |')
    .replace(/-+(\+-+)*/g, '-')
    .replace(/ +/g, ' ')
}

describe.skipIf(!hasPsql)('psql (skipped without psql)', () => {
  const role = `psql${randomBytes(4).toString('hex')}_`
  let places: readonly [Place, Place]

  beforeAll(async () => {
    const ports = [inject('clusterPort'), inject('plainPort')] as const
    const make = async (port: number) => ({ port, database: await createDatabase(port, 'psql') })
    places = [await make(ports[0]), await make(ports[1])]
    for (const place of places) {
      const output = await runPsql(place, `\\set ON_ERROR_STOP 1\n${read('schema.sql')}`, role)
      expect(output).not.toMatch(/ERROR: /)
    }
  })

  describe('commands', () => {
    const outputs: string[][] = []

    beforeAll(async () => {
      const script = commands.map((line, i) => `\\echo @@@ ${i} @@@\n${line}\n`).join('')
      // One after the other, so that both sessions see their own sizes and times at rest.
      for (const place of places) {
        const output = await runPsql(place, `\\o\n\\pset pager off\n\\set VERBOSITY default\n${script}`, role)
        outputs.push(output.split(/^@@@ \d+ @@@\n/m).slice(1).map(tidy))
      }
    })

    test.each(commands.map((command, i) => ({ command, i })))('$command', ({ i }) => {
      const [cluster, plain] = outputs
      expect(plain?.length).toBe(commands.length)
      expect(cluster?.[i]).toBe(plain?.[i])
    })
  })

  describe('queries of newer psqls', () => {
    test.each(splitStatements(read('newer-queries.sql')))('line $line', async ({ sql }) => {
      const answers = []
      for (const { port, database } of places) {
        const client = await WireClient.connect({ port, database })
        const { rows, error, columns } = await client.query(sql)
        client.close()
        answers.push({ rows, error: error?.message, columns: columns?.map((column) => column.name) })
      }
      expect(answers[1]?.error).toBeUndefined()
      expect(answers[0]).toEqual(answers[1])
    })
  })
})
