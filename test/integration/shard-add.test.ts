/** A server joins the cluster while routers run, some of which hear nothing of it. */
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { realClock } from '../../src/base/clock.ts'
import { catalogAddress } from '../../src/coordination/bootstrap.ts'
import { consoleLogger } from '../../src/observability/logger.ts'
import { Router } from '../../src/router/router.ts'
import type { TestCluster, TestServer } from '../support/cluster.ts'
import { startPlainPostgres, startTestCluster } from '../support/cluster.ts'

const connect = async (port: number, database = 'postgres', user = 'postgres') => {
  const client = new pg.Client({ host: '127.0.0.1', port, user, database })
  client.on('error', () => undefined)
  await client.connect()
  return client
}

describe('a server joins', () => {
  let cluster: TestCluster
  let fresh: TestServer
  let client: pg.Client
  let catalog: pg.Client
  let shard: pg.Client
  const deaf: { router: Router; client: pg.Client; hear: () => void }[] = []
  /** A router that has not read the list of servers since before; it can from now on, as one that was asleep. */
  const wake = async (i: number) => {
    const { client: one, hear } = deaf[i] as (typeof deaf)[number]
    expect(await shardsSeen(one)).toBe('2')
    hear()
    return one
  }
  const shardsSeen = async (one: pg.Client) => (await one.query<{ n: string }>(`SELECT count(*) AS n FROM pgherd.shards WHERE role = 'primary'`)).rows[0]?.n

  beforeAll(async () => {
    ;[cluster, fresh] = await Promise.all([startTestCluster({ shards: 2, replicas: 0 }), startPlainPostgres()])
    client = await connect(cluster.port)
    catalog = await connect(cluster.running.cluster.catalog.port)
    await client.query(`
      CREATE ROLE reader LOGIN PASSWORD 'secret'; CREATE ROLE keeper; GRANT keeper TO reader; ALTER ROLE reader SET statement_timeout TO '1min'; ALTER ROLE reader SET search_path TO app, public;
      CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO reader;
      CREATE TYPE app.mood AS ENUM ('sad', 'fine'); CREATE DOMAIN app.small AS int CHECK (VALUE < 1000); CREATE TYPE app.pair AS (a int, b text);
      CREATE FUNCTION app.twice(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * n';
      CREATE TABLE app.countries (code text PRIMARY KEY, mood app.mood DEFAULT 'fine', n app.small, stored int GENERATED ALWAYS AS (app.twice(1)) STORED);
      SELECT create_reference_table('app.countries');
      INSERT INTO app.countries (code, n) SELECT 'c' || g, g FROM generate_series(1, 100) g;
      CREATE TABLE people (id bigserial PRIMARY KEY, country text REFERENCES app.countries, name text NOT NULL DEFAULT 'nobody', changed timestamptz);
      CREATE INDEX people_name ON people (name);
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN NEW.changed := now(); RETURN NEW; END';
      CREATE TRIGGER touched BEFORE INSERT OR UPDATE ON people FOR EACH ROW EXECUTE FUNCTION touch();
      GRANT SELECT ON people, app.countries TO reader; ALTER TABLE people OWNER TO keeper;
      INSERT INTO people (country) SELECT 'c' || 1 + g % 100 FROM generate_series(1, 200) g;
      CREATE TABLE alone (a int, b int); INSERT INTO alone VALUES (1, 2)`)
    await client.query('CREATE DATABASE shop')
    await client.query(`ALTER DATABASE shop SET work_mem TO '5MB'`)
    const shop = await connect(cluster.port, 'shop')
    await shop.query(`CREATE TABLE items (id int PRIMARY KEY, what text); INSERT INTO items SELECT g, 'x' FROM generate_series(1, 50) g`)
    await shop.end()
    for (let i = 0; i < 6; i++) {
      const router = await Router.start({ catalog: catalogAddress('127.0.0.1', cluster.running.cluster.catalog.port), credentials: { user: 'postgres' }, host: '127.0.0.1', port: 0, clock: realClock, log: consoleLogger('quiet') })
      const one = await connect(router.port)
      await one.query('SELECT count(*) FROM people, app.countries')
      const { list } = router['services'].shards
      const read = list.refresh.bind(list)
      list.refresh = () => Promise.resolve()
      deaf.push({ router, client: one, hear: () => (list.refresh = read) })
    }
    // Nor do they hear of schema changes from now on.
    await catalog.query(`SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE application_name = 'pgherd' AND pid <> pg_backend_pid()`)
  }, 180_000)

  afterAll(async () => {
    await Promise.all([client, catalog, shard, ...deaf.map((one) => one.client)].map((one) => one?.end()))
    await Promise.all(deaf.map(({ router }) => router.stop()))
    await cluster?.stop()
    await fresh?.stop()
  }, 120_000)

  test('what is not fit to be a shard is refused', async () => {
    const { cluster: embedded } = cluster.running
    await expect(client.query(`SELECT pgherd.add_shard('127.0.0.1', ${embedded.catalog.port})`)).rejects.toMatchObject({ code: '55000', message: expect.stringContaining('is the server of catalog') as string })
    await expect(client.query(`SELECT pgherd.add_shard('127.0.0.1', ${embedded.shards[0]?.primary.port})`)).rejects.toMatchObject({ code: '42710' })
    await expect(client.query(`SELECT pgherd.add_shard('127.0.0.1', 1)`)).rejects.toMatchObject({ code: '08001' })
    const used = await connect(fresh.port)
    await used.query('CREATE TABLE mine (n int)')
    await expect(client.query(`SELECT pgherd.add_shard('127.0.0.1', ${fresh.port})`)).rejects.toMatchObject({ code: '55000', message: expect.stringContaining('relation "mine"') as string })
    await used.query('DROP TABLE mine')
    await used.end()
    const reader = await connect(cluster.port, 'postgres', 'reader')
    await expect(reader.query(`SELECT pgherd.add_shard('127.0.0.1', ${fresh.port})`)).rejects.toMatchObject({ code: '42501' })
    await reader.end()
    await expect(client.query(`BEGIN; SELECT pgherd.add_shard('127.0.0.1', ${fresh.port})`)).rejects.toMatchObject({ code: '25001' })
    await client.query('ROLLBACK')
    expect((await client.query(`SELECT count(*)::int AS n FROM pgherd.shards`)).rows).toEqual([{ n: 2 }])
  }, 60_000)

  test('with all roles, databases, types, tables, rows of reference tables and settings', async () => {
    const { rows } = await client.query<{ add_shard: string }>(`SELECT pgherd.add_shard('127.0.0.1', ${fresh.port})`)
    expect(rows).toEqual([{ add_shard: 'shard3' }])
    expect((await client.query(`SELECT state FROM pgherd.shards WHERE id = 3`)).rows).toEqual([{ state: 'active' }])
    shard = await connect(fresh.port)
    expect((await shard.query('SELECT count(*)::int AS n, sum(n)::int AS sum FROM app.countries')).rows).toEqual([{ n: 100, sum: 5050 }])
    expect((await shard.query(`SELECT relkind FROM pg_class WHERE oid = 'people'::regclass`)).rows).toEqual([{ relkind: 'p' }])
    expect((await shard.query(`SELECT to_regclass('alone') AS alone`)).rows).toEqual([{ alone: null }])
    expect((await shard.query(`SELECT tgname FROM pg_trigger WHERE tgrelid = 'people'::regclass AND NOT tgisinternal`)).rows).toEqual([{ tgname: 'touched' }])
    const settings = `SELECT rolpassword, (SELECT setconfig FROM pg_db_role_setting WHERE setrole = a.oid) AS set FROM pg_authid a WHERE rolname = 'reader'`
    expect((await shard.query(settings)).rows).toEqual((await catalog.query(settings)).rows)
    const database = `SELECT setconfig FROM pg_db_role_setting JOIN pg_database d ON d.oid = setdatabase WHERE datname = 'shop'`
    expect((await shard.query(database)).rows).toEqual([{ setconfig: ['work_mem=5MB'] }])
    expect((await shard.query(`SELECT has_table_privilege('reader', 'people', 'SELECT') AS may, pg_get_userbyid(relowner) AS owner FROM pg_class WHERE oid = 'people'::regclass`)).rows).toEqual([{ may: true, owner: 'keeper' }])
    expect((await client.query('SELECT count(*)::int AS n FROM people')).rows).toEqual([{ n: 200 }])
    expect((await client.query('SELECT * FROM citus_get_active_worker_nodes()')).rows).toHaveLength(3)
  }, 120_000)

  test('a router that has heard of nothing misses it in no write of a reference table', async () => {
    const stale = await wake(0)
    await stale.query(`INSERT INTO app.countries (code, n) VALUES ('new', 1)`)
    expect((await shard.query(`SELECT n FROM app.countries WHERE code = 'new'`)).rows).toEqual([{ n: 1 }])
    await stale.query(`BEGIN; UPDATE app.countries SET n = 2 WHERE code = 'new'; COMMIT`)
    expect((await shard.query(`SELECT n FROM app.countries WHERE code = 'new'`)).rows).toEqual([{ n: 2 }])
  }, 60_000)

  test('nor in a schema change', async () => {
    const stale = await wake(1)
    await stale.query('ALTER TABLE people ADD COLUMN age int; CREATE TABLE later (id int PRIMARY KEY); CREATE TYPE size AS ENUM (\'s\')')
    expect((await shard.query(`SELECT count(*)::int AS n FROM pg_attribute WHERE attrelid = 'people'::regclass AND attname = 'age'`)).rows).toEqual([{ n: 1 }])
    expect((await shard.query(`SELECT to_regtype('size') IS NOT NULL AND to_regclass('later') IS NOT NULL AS there`)).rows).toEqual([{ there: true }])
  }, 60_000)

  test('nor when it makes a role', async () => {
    const stale = await wake(2)
    await stale.query('CREATE ROLE latecomer; GRANT keeper TO latecomer')
    expect((await shard.query(`SELECT count(*)::int AS n FROM pg_roles WHERE rolname = 'latecomer'`)).rows).toEqual([{ n: 1 }])
  }, 60_000)

  test('nor when it makes a database', async () => {
    const stale = await wake(3)
    await stale.query('CREATE DATABASE store')
    const there = await connect(fresh.port, 'store')
    expect((await there.query(`SELECT to_regclass('pgherd.decision') IS NOT NULL AS there`)).rows).toEqual([{ there: true }])
    await there.end()
    const store = await connect(cluster.port, 'store')
    await store.query('CREATE TABLE wide (id int PRIMARY KEY); INSERT INTO wide SELECT generate_series(1, 100)')
    expect((await store.query('SELECT DISTINCT shard FROM pgherd.buckets ORDER BY 1')).rows).toEqual([{ shard: 1 }, { shard: 2 }, { shard: 3 }])
    await store.end()
    await stale.query('DROP DATABASE store')
    await expect(connect(fresh.port, 'store')).rejects.toMatchObject({ code: '3D000' })
  }, 60_000)

  test('nor in a read of one moment, which holds the gate of the new server too', async () => {
    const stale = await wake(4)
    await stale.query(`SET pgherd.read_consistency = 'atomic'`)
    // Somebody is in the gate of the new server only: the read waits, and fails, rather than to read beside it.
    await shard.query('BEGIN; SELECT pgherd.pass_gate()')
    const reading = stale.query('SELECT count(*)::int AS n FROM people')
    let isOver = false
    reading.then(() => (isOver = true), () => (isOver = true))
    const waiting = `SELECT count(*)::int AS n FROM pg_locks WHERE relation = 'pgherd.commit_gate'::regclass AND NOT granted`
    await expect.poll(async () => (await shard.query(waiting)).rows[0], { timeout: 9_000, interval: 5 }).not.toEqual({ n: 0 })
    expect(isOver).toBe(false)
    await shard.query('COMMIT')
    expect((await reading).rows).toEqual([{ n: 200 }])
    expect(await shardsSeen(stale)).toBe('3')
  }, 60_000)

  test('nor when it is asked what became of a transaction', async () => {
    const stale = await wake(5)
    await client.query('BEGIN')
    const id = (await client.query<{ id: string }>('SELECT pgherd.transaction_id() AS id')).rows[0]?.id
    await client.query('ROLLBACK')
    // As if it had written on the new server alone.
    await shard.query('SELECT pgherd.decide($1)', [id])
    expect((await stale.query(`SELECT pgherd.transaction_status('${id}') AS status`)).rows).toEqual([{ status: 'committed' }])
  }, 60_000)
})
