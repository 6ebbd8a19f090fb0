/** What is read from PL/pgSQL, and written into it: every place must be the right one. */
import { beforeAll, describe, expect, test } from 'vitest'
import { notedBody } from '../../src/router/schema/noted-body.ts'
import { asFunction, readPlpgsql } from '../../src/router/schema/plpgsql-body.ts'
import { forShards } from '../../src/router/schema/trigger-time.ts'
import { parserReady } from '../../src/sql/parse.ts'

const noted = (text: string) => notedBody(text, readPlpgsql(asFunction(text)))
const marks = (text: string) => [...noted(text).matchAll(/pgherd_noted\(/g)].length

describe('PL/pgSQL', () => {
  beforeAll(() => parserReady)

  test('each statement that is not about data is noted, EXECUTE by its text', () => {
    const text = `BEGIN\n IF true THEN CREATE TYPE a AS ENUM ('x'); END IF;\n PERFORM 1;\n EXECUTE 'CREATE TABLE ' || 't';\nEND`
    expect(noted(text)).toBe(
      `BEGIN\n IF true THEN IF pg_temp.pgherd_noted('CREATE TYPE a AS ENUM (''x'')') IS NULL THEN END IF; CREATE TYPE a AS ENUM ('x'); END IF;\n` +
        ` PERFORM 1;\n EXECUTE pg_temp.pgherd_noted(('CREATE TABLE ' || 't')::text);\nEND`,
    )
  })

  test.each([
    ['in a comment before it', `BEGIN /* DROP TABLE t */ DROP TABLE t; END`, 1],
    ['in a string before it', `BEGIN RAISE NOTICE 'DROP TABLE t'; DROP TABLE t; END`, 1],
    ['twice on a line', `BEGIN DROP TABLE t; DROP TABLE t; END`, 2],
    ['after characters of several bytes', `BEGIN RAISE NOTICE 'äöü€'; DROP TABLE t; END`, 1],
    ['in the handler of an exception', `BEGIN\n DROP TABLE t;\nEXCEPTION WHEN OTHERS THEN\n CREATE TABLE t ();\nEND`, 2],
  ])('the text of a statement %s', (_name, text, count) => {
    expect(marks(text)).toBe(count)
    const again = readPlpgsql(asFunction(noted(text)))
    expect(again.statements).toHaveLength(count)
    expect(again.ifs).toBe(count)
  })

  test('both sides of a condition and of an assignment are read', () => {
    const { nodes } = readPlpgsql(asFunction(`DECLARE a int[]; BEGIN IF f() = 1 THEN a[g()] := h(); END IF; END`))
    const text = JSON.stringify(nodes)
    for (const name of ['f', 'g', 'h']) expect(text).toContain(`"sval":"${name}"`)
  })

  test.each([
    ['now()', 'pgherd.now()'],
    ['pg_catalog.now()', 'pgherd.now()'],
    ['CURRENT_TIMESTAMP', '(pgherd.now()::timestamptz)'],
    ['current_timestamp(3)', '(pgherd.now()::timestamptz(3))'],
    ['LOCALTIMESTAMP + interval \'1 day\'', '(pgherd.now()::timestamp) + interval \'1 day\''],
    ['NEW.now', 'NEW.now'],
    ["'now()'", "'now()'"],
    ['clock_timestamp()', 'clock_timestamp()'],
  ])('in a trigger on shards %s is %s', (written, there) => {
    const definition = (expression: string) => `CREATE OR REPLACE FUNCTION public.f()\n RETURNS trigger\n LANGUAGE plpgsql\nAS $function$ BEGIN NEW.x := ${expression}; RETURN NEW; END $function$\n`
    expect(forShards(definition(written))).toBe(definition(there))
  })

  test.each(["'now'::timestamptz", 'age(NEW.born)'])('%s hides the time', (expression) => {
    expect(() => forShards(`CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $function$ BEGIN NEW.x := ${expression}; RETURN NEW; END $function$`)).toThrow()
  })
})
