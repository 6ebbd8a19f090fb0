/** Statements that come again with other literals, on the router and on plain PostgreSQL: the same answers, whatever the literals look like. */
import { afterAll, beforeAll, expect, inject, test } from 'vitest'
import { createDatabase } from '../support/databases.ts'
import type { Random } from '../support/random.ts'
import { seeded } from '../support/random.ts'
import type { Result } from '../support/wire-client.ts'
import { WireClient } from '../support/wire-client.ts'

const schema = `
  CREATE TABLE f (id int PRIMARY KEY, big bigint, small smallint, n numeric(12,3), x float8, t text, c char(5), v varchar(6), b boolean, d date, at timestamp, i interval, a int[], j jsonb, by bytea);
  CREATE TABLE g (name text PRIMARY KEY, "a1" int, "Q""1" text, w int);
  CREATE TABLE h (id bigint PRIMARY KEY, t text, e numeric DEFAULT 1.5);
  INSERT INTO f (id, big, n, t, a, j) SELECT i, i * 1000000007::bigint, i / 4.0, 'text ' || i, ARRAY[i, i + 1], jsonb_build_object('k', i) FROM generate_series(1, 30) i;
  INSERT INTO g SELECT 'name ' || i, i, 'q' || i, i FROM generate_series(1, 30) i;
  INSERT INTO h SELECT i, 'h' || i FROM generate_series(1, 30) i;`

/** # is a number, @ a string, ! anything that may stand for a value. */
const forms = [
  'SELECT * FROM f WHERE id = #',
  'SELECT id, @ AS s, # AS one, # + small, t || @ FROM f WHERE id = #',
  'SELECT id, !, ! FROM f WHERE id = #',
  'SELECT t, n * !, big + # FROM f WHERE id = # AND n > #',
  'SELECT t FROM f WHERE id = !',
  'SELECT t FROM f WHERE id = # AND t = !',
  'SELECT t FROM f WHERE id = @::int',
  'SELECT t FROM f WHERE id=#AND t<>@',
  'SELECT t FROM f WHERE id IN (#, #, #) ORDER BY id',
  'SELECT a[#], (@::int[])[#] FROM f WHERE id = #',
  "SELECT '{1,2}'::int[], ('{1,2}'::int[])[1], j->@, j->># FROM f WHERE id = #",
  "SELECT interval '1 day' * #, date '2024-02-29' + #, i, @::interval FROM f WHERE id = #",
  'SELECT t, -#, - -#, +#, 2-#, #::numeric(6,2), #::text FROM f WHERE id = #',
  'SELECT CASE WHEN id > # THEN @ ELSE @ END FROM f WHERE id = #',
  'SELECT t FROM f WHERE id = # LIMIT # OFFSET #',
  'SELECT t, n FROM f WHERE id = # ORDER BY 1, 2 LIMIT #',
  'SELECT /* a /* nested */ # */ t FROM f WHERE id = # -- behind',
  'SELECT t FROM f WHERE id = #;',
  ' ;SELECT t FROM f WHERE id = # ; ; ',
  'SELECT t FROM f WHERE id = #; SELECT w FROM g WHERE name = @',
  "SELECT E'a\\'b', U&'\\0041', $$it's #$$, $q$@$q$, B'101', X'1F', N'n' FROM f WHERE id = #",
  'SELECT "a1", "Q""1", g."a1" + # FROM g WHERE name = @',
  "SELECT w AS \"x'1\", @ AS \"y\" FROM g WHERE name = @ AND \"Q\"\"1\" <> @",
  'SELECT w FROM g WHERE name = @ AND w BETWEEN # AND #',
  'SELECT w FROM g WHERE name LIKE @ ORDER BY name',
  'SELECT w FROM g WHERE name = @\n  @',
  'SELECT t, e + !, 1.5, .5, 1e5, 0x10, 1_000, 0b11 FROM h WHERE id = #',
  'SELECT t FROM h WHERE id = #::bigint AND e = !',
  'SELECT count(*), sum(w) FROM g WHERE w > #',
  'SELECT t FROM h WHERE id = # UNION ALL SELECT @ WHERE # > 0',
  'INSERT INTO h VALUES (#, @)',
  'INSERT INTO h (id, t, e) VALUES (#, @, !), (#, @, !) ON CONFLICT (id) DO UPDATE SET t = @, e = excluded.e + # RETURNING *',
  'INSERT INTO f (id, small, n, x, t, c, v, b, d, at) VALUES (#, !, !, !, !, !, !, !, !, !) RETURNING id, small, n, x, t, c, v, b, d, at',
  'INSERT INTO g (name, w) VALUES (@, #) RETURNING w, name, @',
  'UPDATE f SET n = n + !, t = @ WHERE id = # RETURNING n, t',
  'UPDATE f SET small = !, v = ! WHERE id = # RETURNING small, v',
  'UPDATE g SET w = w + #, "a1" = - # WHERE name = @ RETURNING *',
  'DELETE FROM h WHERE id = # AND t <> @ RETURNING id, t, @',
]

const strings = ["''", "'name 3'", "'name 7'", "'name 12'", "'it''s'", "'5'", "' 7 '", "'-3'", "'1.5'", "'$1'", "'$2 $1'", "'ünïcödé 日本 🙂'", "'--'", "'/*'", "'now '", "'t'", "'true'", "'2024-02-29'", "'{1,2,3}'", "'k'", "'1 day'", "'a%'", "'%'", "'abcdefg'", "'\"'", "'\\'", "'a\\''b'", `'${'y'.repeat(8200)}'`]
const edges = ['0', '00', '007', '2147483646', '2147483647', '2147483648', '4294967296', '9223372036854775807', '9223372036854775808', '999999999999999999', '1000000000000000000', '32767', '32768']
const odd = ['NULL', '-1', '- 1', '1.5', '.5', '5.', '1e3', '1E-2', '0x1F', '1_000', '0o17', 'TRUE', "E'\\x41'", "U&'\\0041'", "$$d$$", "5::int", "'5'::text", "CAST('5' AS int)", '(5)', '2 + 3', "date '2024-01-01'", "ARRAY[1,2]", "'{1,2}'"]

const number = (random: Random) => (random.chance(75) ? String(1 + random.below(30)) : random.pick(edges))
const string = (random: Random) => (random.chance(40) ? `'name ${1 + random.below(30)}'` : random.pick(strings))
const value = (random: Random) => (random.chance(35) ? number(random) : random.chance(50) ? string(random) : random.pick(odd))

/** Strings of the form are taken over as they are. */
function fill(form: string, random: Random): string {
  return form.replace(/'[^']*'|[#@!]/g, (hole) => (hole === '#' ? number(random) : hole === '@' ? string(random) : hole === '!' ? value(random) : hole))
}

const shown = ({ columns, rows, tags, error, status }: Result) => ({
  // For INSERT ... RETURNING the router tells the columns before it knows of an error.
  columns: error !== undefined ? undefined : columns?.map(({ name, typeOid, typeModifier }) => [name, typeOid, typeModifier]),
  rows,
  tags,
  sqlstate: error?.sqlstate,
  status,
})

let plain: WireClient
let cluster: WireClient

beforeAll(async () => {
  const clients = [inject('plainPort'), inject('clusterPort')].map(async (port) => {
    const client = await WireClient.connect({ port, database: await createDatabase(port, 'forms') })
    expect((await client.query(schema)).error).toBeUndefined()
    return client
  })
  ;[plain, cluster] = (await Promise.all(clients)) as [WireClient, WireClient]
})

afterAll(() => {
  plain.close()
  cluster.close()
})

const seed = Number(process.env['FORMS_SEED'] ?? 27)
const rounds = Number(process.env['FORMS_ROUNDS'] ?? 14)

test.each(forms)('%s', async (form) => {
  const random = seeded(seed + forms.indexOf(form))
  let refused = 0
  for (let round = 0; round < rounds; round++) {
    const text = fill(form, random)
    const expected = shown(await plain.query(text))
    const given = await cluster.query(text)
    // What is refused on purpose is no answer; that others are not is checked below.
    if (given.error?.sqlstate === '0A000' && expected.sqlstate !== '0A000') refused++
    else expect({ text, ...shown(given) }).toEqual({ text, ...expected })
  }
  expect(refused).toBe(0)
})
