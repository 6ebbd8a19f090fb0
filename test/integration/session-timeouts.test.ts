/** The time limits of a session, on one PostgreSQL and on the cluster alike: what ends, with which error, and what is afterwards. */
import { beforeAll, describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import type { Result } from '../support/wire-client.ts'
import { WireClient } from '../support/wire-client.ts'

interface Place {
  readonly port: number
  readonly database: string
}

type Steps = (client: WireClient, place: Place) => Promise<unknown>

const ports = { plain: inject('plainPort'), cluster: inject('clusterPort') }
const places: { plain: Place; cluster: Place } = { plain: { port: 0, database: '' }, cluster: { port: 0, database: '' } }

/** What a client can tell of an answer. */
const told = ({ rows, tags, error, status }: Result) =>
  error === undefined ? { rows, tags, status } : { sqlstate: error.sqlstate, severity: error.fields['S'], message: error.message, status }

async function asked(client: WireClient, ...texts: readonly string[]): Promise<unknown[]> {
  const answers: unknown[] = []
  for (const text of texts) answers.push(told(await client.query(text)))
  return answers
}

async function within<T>(place: Place, steps: (client: WireClient) => Promise<T>, parameters: Record<string, string> = {}): Promise<T> {
  const client = await WireClient.connect({ ...place, parameters })
  try {
    return await steps(client)
  } finally {
    client.close()
  }
}

/** The same steps on both. */
async function alike(steps: Steps, parameters: Record<string, string> = {}): Promise<unknown> {
  const [plain, cluster] = await Promise.all([places.plain, places.cluster].map((place) => within(place, (client) => steps(client, place), parameters)))
  expect(cluster).toEqual(plain)
  return plain
}

/** Ends when no server has anything of the clients under way. */
async function quiet(): Promise<void> {
  const addresses = await within(places.cluster, async (client) => (await client.query('SELECT port FROM pgherd.shards')).rows.map(([port]) => Number(port)))
  for (const port of addresses) {
    await within({ port, database: 'postgres' }, async (client) => {
      const open = `SELECT count(*) FROM pg_stat_activity WHERE datname = '${places.cluster.database}' AND (state <> 'idle' AND pid <> pg_backend_pid()) AND backend_type = 'client backend'`
      while ((await client.query(open)).rows[0]?.[0] !== '0');
      expect((await client.query(`SELECT gid FROM pg_prepared_xacts WHERE database = '${places.cluster.database}'`)).rows).toEqual([])
    })
  }
}

const everyRow = 'SELECT id, pg_sleep(20) FROM item'
const gathered = 'SELECT sum(a.n) OVER (ORDER BY a.id) FROM item a JOIN item b ON a.n = b.n WHERE pg_sleep(20) IS NOT NULL'

beforeAll(async () => {
  for (const where of ['plain', 'cluster'] as const) {
    const place = { port: ports[where], database: await createDatabase(ports[where], 'timeouts') }
    places[where] = place
    await within(place, (client) => asked(client, 'CREATE TABLE item (id int PRIMARY KEY, n int)', 'INSERT INTO item SELECT g, g FROM generate_series(1, 60) g'))
  }
})

describe('statement_timeout', () => {
  const ended = { sqlstate: '57014', severity: 'ERROR', message: 'canceling statement due to statement timeout' }

  for (const [name, text] of Object.entries({ 'one shard': 'SELECT pg_sleep(20) FROM item WHERE id = 1', 'all shards': everyRow, 'a gather': gathered, 'the catalog': 'SELECT pg_sleep(20)', 'a write over all shards': 'UPDATE item SET n = n + 1 WHERE pg_sleep(20) IS NOT NULL' })) {
    test(`ends a statement on ${name}; the next one works`, async () => {
      const answers = await alike((client) => asked(client, "SET statement_timeout = '100ms'", text, 'SET statement_timeout = 0', 'SELECT count(*), sum(n) FROM item'))
      expect(answers).toEqual([{ rows: [], tags: ['SET'], status: 'I' }, { ...ended, status: 'I' }, { rows: [], tags: ['SET'], status: 'I' }, { rows: [['60', '1830']], tags: ['SELECT 1'], status: 'I' }])
      await quiet()
    })
  }

  test('is for the whole statement, and not for each of its requests', async () => {
    // Each row's part is well below the limit, all of them together are above.
    const slowly = 'SELECT count(*) FROM item a WHERE (SELECT pg_sleep(0.05) IS NOT NULL WHERE a.n > 0)'
    expect(await alike((client) => asked(client, "SET statement_timeout = '400ms'", slowly))).toMatchObject([{}, ended])
  })

  test('fails a block, which then takes nothing but its end', async () => {
    const answers = await alike((client) => asked(client, 'BEGIN', 'UPDATE item SET n = 0', "SET LOCAL statement_timeout = '100ms'", everyRow, 'SELECT 1', 'ROLLBACK', 'SHOW statement_timeout', 'SELECT sum(n) FROM item'))
    expect(answers).toMatchObject([{}, {}, {}, { ...ended, status: 'E' }, { sqlstate: '25P02' }, {}, { rows: [['0']] }, { rows: [['1830']] }])
  })

  test('goes back to the savepoint', async () => {
    const answers = await alike((client) =>
      asked(client, 'BEGIN', 'UPDATE item SET n = n WHERE id = 1', 'SAVEPOINT a', "SET LOCAL statement_timeout = '100ms'", everyRow, 'ROLLBACK TO a', 'SHOW statement_timeout', 'SELECT count(*) FROM item', 'COMMIT'),
    )
    expect(answers).toMatchObject([{}, {}, {}, {}, { ...ended, status: 'E' }, { status: 'T' }, { rows: [['0']] }, { rows: [['60']] }, { tags: ['COMMIT'] }])
  })

  test('each statement of a text has its own time', async () => {
    const text = 'SELECT pg_sleep(0.6); SELECT pg_sleep(0.6); SELECT 1'
    expect(await alike((client) => asked(client, "SET statement_timeout = '1s'", text))).toMatchObject([{}, { tags: ['SELECT 1', 'SELECT 1', 'SELECT 1'] }])
    expect(await alike((client) => asked(client, "SET statement_timeout = '100ms'; SELECT pg_sleep(20)"))).toMatchObject([ended])
  })

  test('in the extended protocol', async () => {
    const answers = await alike(async (client) => [...(await asked(client, "SET statement_timeout = '100ms'")), told(await client.queryExtended(everyRow)), told(await client.queryExtended('SELECT 1'))])
    expect(answers).toMatchObject([{}, ended, { rows: [['1']] }])
  })
})

test('lock_timeout is 55P03, and holds on each shard', async () => {
  const answers = await alike(async (client, place) =>
    within(place, async (other) => {
      await asked(other, 'BEGIN', 'UPDATE item SET n = n WHERE id % 7 = 0')
      const answers = await asked(client, "SET lock_timeout = '100ms'", 'UPDATE item SET n = n', 'BEGIN', 'UPDATE item SET n = n WHERE id = 1', 'SELECT n FROM item WHERE id = 7 FOR UPDATE', 'COMMIT')
      await asked(other, 'ROLLBACK')
      return answers
    }),
  )
  expect(answers).toMatchObject([{}, { sqlstate: '55P03', status: 'I' }, {}, {}, { sqlstate: '55P03', status: 'E' }, { tags: ['ROLLBACK'] }])
})

describe('idle_in_transaction_session_timeout', () => {
  const ended = { sqlstate: '25P03', severity: 'FATAL', message: 'terminating connection due to idle-in-transaction timeout', status: '?' }

  test('ends the session that is idle, with all its parts', async () => {
    const answers = await alike(async (client) => {
      await asked(client, "SET idle_in_transaction_session_timeout = '100ms'", 'BEGIN', 'UPDATE item SET n = 0')
      await client.ended()
      return asked(client, 'COMMIT')
    })
    expect(answers).toEqual([ended])
    await quiet()
    expect(await within(places.cluster, (client) => asked(client, 'SELECT sum(n) FROM item'))).toMatchObject([{ rows: [['1830']] }])
  })

  test('of a failed block, too', async () => {
    const answers = await alike(async (client) => {
      await asked(client, "SET idle_in_transaction_session_timeout = '100ms'", 'BEGIN', 'SELECT 1 / 0')
      await client.ended()
      return asked(client, 'COMMIT')
    })
    expect(answers).toEqual([ended])
  })

  test('a server whose part waits while the session works on another is not idle', async () => {
    const work = "SET idle_in_transaction_session_timeout = '200ms'"
    const answers = await alike((client) => asked(client, work, 'BEGIN', 'UPDATE item SET n = n', 'SELECT pg_sleep(0.7) FROM item WHERE id = 1', 'SELECT pg_sleep(0.7)', 'SELECT count(*) FROM item', 'COMMIT'))
    expect(answers).toMatchObject([{}, {}, {}, { tags: ['SELECT 1'] }, { tags: ['SELECT 1'] }, { rows: [['60']] }, { tags: ['COMMIT'] }])
  })
})

describe('transaction_timeout', () => {
  const ended = { sqlstate: '25P04', severity: 'FATAL', message: 'terminating connection due to transaction timeout', status: '?' }

  test('ends the session in a statement, with all its parts', async () => {
    expect(await alike((client) => asked(client, 'BEGIN', 'UPDATE item SET n = 0', "SET LOCAL transaction_timeout = '100ms'", everyRow))).toMatchObject([{}, {}, {}, ended])
    await quiet()
    expect(await within(places.cluster, (client) => asked(client, 'SELECT sum(n) FROM item'))).toMatchObject([{ rows: [['1830']] }])
  })

  test('ends it between two, and a statement of its own', async () => {
    const idle = await alike(async (client) => {
      await asked(client, "SET transaction_timeout = '100ms'", 'BEGIN', 'SELECT count(*) FROM item')
      await client.ended()
      return asked(client, 'COMMIT')
    })
    expect(idle).toEqual([ended])
    expect(await alike((client) => asked(client, "SET transaction_timeout = '100ms'", gathered))).toMatchObject([{}, ended])
  })

  test('counts from the begin of the transaction, not of each part', async () => {
    const answers = await alike((client) => asked(client, "SET transaction_timeout = '800ms'", 'BEGIN', 'SELECT pg_sleep(0.5)', 'SELECT pg_sleep(20) FROM item WHERE id = 1'))
    expect(answers).toMatchObject([{}, {}, { tags: ['SELECT 1'] }, ended])
  })

  test('begins anew with the next transaction', async () => {
    const part = ['SELECT pg_sleep(0.6)', 'COMMIT AND CHAIN']
    expect(await alike((client) => asked(client, "SET transaction_timeout = '1s'", 'BEGIN', ...part, ...part, ...part, 'ROLLBACK', 'SELECT 1'))).toMatchObject(Array.from({ length: 10 }, () => ({})))
  })
})

test('idle_session_timeout ends a session outside of transactions alone', async () => {
  const answers = await alike(async (client) => {
    await asked(client, "SET idle_session_timeout = '300ms'", 'BEGIN')
    const still = await asked(client, 'SELECT pg_sleep(0.7)', 'COMMIT')
    await client.ended()
    return [...still, ...(await asked(client, 'SELECT 1'))]
  })
  expect(answers).toMatchObject([{ tags: ['SELECT 1'] }, { tags: ['COMMIT'] }, { sqlstate: '57P05', severity: 'FATAL', message: 'terminating connection due to idle-session timeout', status: '?' }])
})

describe('how they are set and seen', () => {
  const names = ['statement_timeout', 'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout', 'lock_timeout']
  const seen = ["SELECT name, setting FROM pg_settings WHERE name ~ '(session|statement|transaction|lock)_timeout$' ORDER BY name", ...names.map((name) => `SHOW ${name}`)]

  for (const value of ["'5s'", "'1min'", '0', '70000', '10000.5', "'1.5s'", "'2 h'", "' 90s '", "'100us'", "'1d'", '2147483647', '-1', "'5 parsecs'", "'x'", 'on', "'1', '2'", '2147483648', 'DEFAULT']) {
    test(`SET ... = ${value}`, async () => {
      await alike((client) => asked(client, ...names.map((name) => `SET ${name} = ${value}`), 'SET statement_timeout = DEFAULT', ...seen))
    })
  }

  test('SET LOCAL, RESET, set_config, rollback, savepoints, DISCARD', async () => {
    const texts = names.flatMap((name) => {
      const show = [`SHOW ${name}`, `SELECT current_setting('${name}')`, `SELECT current_setting('${name}') FROM item WHERE id = 1`, `SELECT DISTINCT current_setting('${name}') FROM item`]
      return [
        `SET ${name} = '50s'`, ...show, 'BEGIN', `SET LOCAL ${name} = '1min'`, ...show, 'SAVEPOINT a', `SET ${name} TO '70s'`, ...show, 'ROLLBACK TO a', ...show, 'COMMIT', ...show,
        'BEGIN', `SET ${name} = '71s'`, 'ROLLBACK', ...show, 'BEGIN', `SET ${name} = '72s'`, 'COMMIT', ...show, 'BEGIN', `SET ${name} = '73s'`, 'SELECT 1 / 0', 'COMMIT', ...show,
        `SELECT set_config('${name}', '74s', false)`, ...show, 'BEGIN', `SELECT set_config('${name}', '75s', true)`, ...show, 'RESET ALL', ...show, 'ROLLBACK', ...show,
        `SET LOCAL ${name} = '76s'`, ...show, `RESET ${name}`, ...show, `SET ${name} = '77s'`, 'RESET ALL', ...show, `SET SESSION ${name} = '78s'`, 'DISCARD ALL', ...show,
      ]
    })
    await alike((client) => asked(client, ...texts))
  })

  test('options of the start-up, and RESET to them', async () => {
    const options = '-c statement_timeout=200 -c idle_session_timeout=5min --transaction_timeout=1h'
    const answers = await alike((client) => asked(client, ...seen, "SET statement_timeout = '9s'", 'RESET statement_timeout', ...seen, "SET statement_timeout = '9s'", 'RESET ALL', ...seen, everyRow), { options })
    expect((answers as unknown[]).at(-1)).toMatchObject({ sqlstate: '57014' })
    await alike((client) => asked(client, ...seen), { statement_timeout: '3min' })
    const refusals = await Promise.all([places.plain, places.cluster].map((place) => within(place, () => Promise.resolve('in'), { options: '-c statement_timeout=x' }).catch((error: Result['error']) => [error?.sqlstate, error?.fields['S'], error?.message])))
    expect(refusals[1]).toEqual(refusals[0])
  })

  test('of roles and databases', async () => {
    for (const { port, database } of [places.plain, places.cluster]) {
      await within({ port, database }, async (client) => {
        expect(await asked(client, 'DROP ROLE IF EXISTS hasty', 'CREATE ROLE hasty LOGIN SUPERUSER', "ALTER ROLE hasty SET statement_timeout = '300ms'", "ALTER ROLE hasty SET idle_session_timeout = '1h'", `ALTER DATABASE ${database} SET statement_timeout = '9s'`, `ALTER DATABASE ${database} SET transaction_timeout = '8min'`)).toMatchObject(Array.from({ length: 6 }, () => ({ status: 'I', tags: [expect.anything()] })))
      })
    }
    const asHasty = await Promise.all(
      [places.plain, places.cluster].map(async (place) => {
        const client = await WireClient.connect({ ...place, user: 'hasty' })
        const answers = await asked(client, ...seen, "SET statement_timeout = '1s'", 'RESET ALL', ...seen, everyRow, 'BEGIN', 'RESET ALL', 'SELECT count(*) FROM item', ...seen, 'COMMIT')
        client.close()
        return answers
      }),
    )
    expect(asHasty[1]).toEqual(asHasty[0])
    await alike((client) => asked(client, ...seen))
    for (const { port, database } of [places.plain, places.cluster]) {
      await within({ port, database }, (client) => asked(client, 'DROP ROLE hasty', `ALTER DATABASE ${database} RESET ALL`))
    }
    await alike((client) => asked(client, ...seen))
  })
})
