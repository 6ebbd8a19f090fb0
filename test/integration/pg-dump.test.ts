/**
 * pg_dump, pg_dumpall and pg_restore through the router: dumps hold every row once and nothing of pgherd's, and go back into the
 * router and into one PostgreSQL alike.
 *
 * pg_dump refuses servers newer than itself, so the servers here are of the PostgreSQL that pg_dump is of.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startPlainPostgres, startTestCluster } from '../support/cluster.ts'
import type { TestServer } from '../support/cluster.ts'

const folders = [process.env['PG_BIN'] ?? '', ...[18, 17, 16, 15].map((version) => `/usr/lib/postgresql/${version}/bin`)]
const pgBin = folders.find((folder) => ['postgres', 'pg_dump', 'pg_restore', 'psql'].every((name) => fs.existsSync(path.join(folder, name))))
const chinook = new URL('../data/chinook.sql', import.meta.url).pathname
const shop = new URL('psql/schema.sql', import.meta.url).pathname

interface Output {
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

function run(program: string, port: number, ...words: string[]): Promise<Output> {
  const child = spawn(path.join(pgBin ?? '', program), ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...words], { stdio: ['ignore', 'pipe', 'pipe'] })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (chunk: string) => (stdout += chunk))
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (stderr += chunk))
  return new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => resolve({ code, stdout, stderr }))
  })
}

async function succeed(program: string, port: number, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await run(program, port, ...words)
  expect(`${code} ${stderr.replace(/.*(NOTICE: |pg_dump: (warning|detail|hint): ).*\n/g, '')}`).toBe('0 ')
  return stdout
}

/** The lines of a dump, in any order: rows come as the shards give them. What a dump makes up anew each time is left out. */
const linesOf = (dump: string) => dump.split('\n').filter((line) => !/^\\(un)?restrict /.test(line)).sort()

describe.skipIf(pgBin === undefined)('pg_dump (skipped without PostgreSQL of its version)', () => {
  let cluster: TestServer
  let plain: TestServer
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-dump-'))
  const inFolder = (name: string) => path.join(folder, name)

  beforeAll(async () => {
    cluster = await startTestCluster({ shards: 3, replicas: 0, pgBin })
    plain = await startPlainPostgres(pgBin)
    for (const { port } of [cluster, plain]) {
      await succeed('psql', port, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-d', 'postgres', '-f', chinook)
      await succeed('psql', port, '-X', '-q', '-c', 'CREATE DATABASE shop')
      await succeed('psql', port, '-X', '-q', '-v', 'ON_ERROR_STOP=1', '-v', 'role_ro=app_ro', '-v', 'role_rw=app_rw', '-d', 'shop', '-f', shop)
    }
    // Its rows on every shard, and in one place: a dump must not tell.
    await succeed('psql', cluster.port, '-X', '-q', '-d', 'chinook', '-c', 'ALTER TABLE track DROP CONSTRAINT track_genre_id_fkey', '-c', "SELECT create_reference_table('genre')")
    await succeed('psql', plain.port, '-X', '-q', '-d', 'chinook', '-c', 'ALTER TABLE track DROP CONSTRAINT track_genre_id_fkey')
    await succeed('psql', cluster.port, '-X', '-q', '-d', 'shop', '-c', "SELECT create_distributed_table('nopk', 'a')")
  })

  afterAll(async () => {
    await Promise.all([cluster?.stop(), plain?.stop()])
    fs.rmSync(folder, { recursive: true, force: true })
  })

  const choices = ['', '--schema-only', '--data-only', '--inserts', '--column-inserts', '--clean --if-exists', '--no-owner --no-acl']
  const ofShop = ['-t customers', '-t shop.*', '-n shop', '-T orders', '--data-only --disable-triggers -t orders']
  const wanted = [...[...choices, ...ofShop].map((words) => ['shop', words] as const), ...['', '--inserts'].map((words) => ['chinook', words] as const)]

  test.each(wanted)('%s: pg_dump %s', async (database, words) => {
    const dump = (port: number) => succeed('pg_dump', port, ...words.split(' ').filter((word) => word !== ''), database)
    const [here, there] = [linesOf(await dump(cluster.port)), linesOf(await dump(plain.port))]
    expect(there.length).toBeGreaterThan(20)
    expect(here).toEqual(there)
  })

  test('a dump that asks for SERIALIZABLE is refused, since shards know nothing of each other', async () => {
    const { code, stderr } = await run('pg_dump', cluster.port, '--serializable-deferrable', 'shop')
    expect(code).not.toBe(0)
    expect(stderr).toContain('a SERIALIZABLE transaction cannot span shards')
  })

  const ways = [
    { how: 'psql -f', make: [], program: 'psql', words: ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f'] },
    { how: 'psql -1 -f', make: [], program: 'psql', words: ['-X', '-q', '-1', '-v', 'ON_ERROR_STOP=1', '-f'] },
    { how: 'psql -f with inserts', make: ['--inserts'], program: 'psql', words: ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-f'] },
    { how: 'pg_restore', make: ['-Fc'], program: 'pg_restore', words: ['-d'] },
    { how: 'pg_restore -1', make: ['-Fc'], program: 'pg_restore', words: ['-1', '-d'] },
    { how: 'pg_restore -1 of a tar', make: ['-Ft'], program: 'pg_restore', words: ['-1', '-d'] },
  ]

  // Schema changes take a two-phase commit each, and a restore is little else: of Chinook two ways must do.
  const restores = [...ways.map((way) => ({ database: 'shop', ...way })), ...ways.filter(({ how }) => /^psql -f$|-1$/.test(how)).map((way) => ({ database: 'chinook', ...way }))]

  test.each(restores)('$database, dumped from the router, is whole again after $how', { timeout: 180_000 }, async ({ database, make, program, words }) => {
    const file = inFolder(`dump-${randomBytes(4).toString('hex')}`)
    await succeed('pg_dump', cluster.port, ...make, '-f', file, database)
    const whole = linesOf(await succeed('pg_dump', plain.port, database))
    for (const { port } of [cluster, plain]) {
      const name = `restored_${randomBytes(4).toString('hex')}`
      await succeed('psql', port, '-X', '-q', '-c', `CREATE DATABASE ${name}`)
      const rest = program === 'psql' ? [...words, file, '-d', name] : [...words, name, file]
      await succeed(program, port, ...rest)
      expect(linesOf(await succeed('pg_dump', port, name))).toEqual(whole)
    }
  })

  test('a dump of one PostgreSQL goes into the router', async () => {
    const file = inFolder('plain.dump')
    await succeed('pg_dump', plain.port, '-Fc', '-f', file, 'shop')
    await succeed('psql', cluster.port, '-X', '-q', '-c', 'CREATE DATABASE brought')
    await succeed('pg_restore', cluster.port, '-d', 'brought', file)
    expect(linesOf(await succeed('pg_dump', cluster.port, 'brought'))).toEqual(linesOf(await succeed('pg_dump', plain.port, 'shop')))
  })

  test('pg_dumpall --roles-only', async () => {
    const [here, there] = [linesOf(await succeed('pg_dumpall', cluster.port, '--roles-only')), linesOf(await succeed('pg_dumpall', plain.port, '--roles-only'))]
    expect(here).toEqual(there)
    expect(here.join('\n')).toContain('app_rw')
  })

  test('a dump by several jobs is refused: its sessions would have to share a snapshot', async () => {
    const { code, stderr } = await run('pg_dump', cluster.port, '-j', '2', '-Fd', '-f', inFolder('parallel'), 'shop')
    expect(code).not.toBe(0)
    expect(stderr).toContain('SET TRANSACTION SNAPSHOT is not supported across shards')
  })
})
