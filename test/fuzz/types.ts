/** The types of the columns that random schemas have, each with few values, so that rows meet in joins. */

/**
 * What expressions may be written over a type. `plain` families are only compared, sorted and grouped: two columns with
 * different collations, say, cannot be compared with each other at all.
 */
export type Family = 'int' | 'numeric' | 'float' | 'text' | 'bool' | 'date' | 'timestamp' | 'intArray' | Plain
type Plain = 'uuid' | 'jsonb' | 'enum' | 'bytea' | 'timestamptz' | 'bpchar' | 'posixText' | 'icuText' | 'looseText' | 'bigKey' | 'textArray' | 'interval'

export interface SqlType {
  /** As in CREATE TABLE. */
  readonly declared: string
  /** As in a cast; a collation does not belong there. */
  readonly cast: string
  readonly family: Family
  /** Values in their text form. */
  readonly values: readonly string[]
  /** For a parameter of this type; 0 where users made it. */
  readonly oid: number
  /** False when values that are equal can look different (1.0 and 1.00, -0 and 0): then no row may stand for others. */
  readonly exact: boolean
  /** A key can be of this type. */
  readonly isKey?: true
}

const words = ['', 'a', 'A', 'b', 'ab', 'a b', 'b ', "it's", 'ä', 'Zoë', 'é', '5', '05', ' 5', 'x_y%z', 'back\\slash', '日本', '€', 'NULL', 'longer text than 16']
const smallInts = ['-3', '-1', '0', '1', '2', '3', '4', '5', '6', '7', '8', '12', '17', '42']
const floats = ['0', '-0', '1', '-1.5', '2.25', '0.25', '42', 'NaN', 'Infinity', '-Infinity']

const type = (declared: string, family: Family, values: readonly string[], oid: number, more: Partial<SqlType> = {}): SqlType => ({
  declared,
  cast: declared.replace(/ COLLATE .*/, ''),
  family,
  values,
  oid,
  exact: true,
  ...more,
})

export const types = {
  int2: type('smallint', 'int', smallInts, 21, { isKey: true }),
  int4: type('integer', 'int', smallInts, 23, { isKey: true }),
  int8: type('bigint', 'int', smallInts, 20, { isKey: true }),
  /** Values at the ends of the range: nothing is computed from them, since whether that fails depends on the plan. */
  bigKey: type('bigint', 'bigKey', ['-9223372036854775808', '9223372036854775807', '-1', '0', '5', '2147483648', '-2147483649', '4294967296', '9007199254740993'], 20, { isKey: true }),
  text: type('text', 'text', words, 25, { isKey: true }),
  varchar: type('varchar(20)', 'text', words, 1043, { isKey: true }),
  bpchar: type('char(6)', 'bpchar', ['', 'a', 'ab', 'b', 'a b', 'Zoë', '5'], 1042, { isKey: true }),
  uuid: type('uuid', 'uuid', ['c4ca4238-a0b9-2382-0dcc-509a6f75849b', '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 'a87ff679-a2f3-e71d-9181-a67b7542122c', 'e4da3b7f-bbce-2345-d777-2b0674a318d5'], 2950, { isKey: true }),
  bool: type('boolean', 'bool', ['true', 'false'], 16),
  numeric: type('numeric', 'numeric', ['0', '1', '1.0', '1.50', '-2.5', '3.14159', '100', '1e3', 'NaN'], 1700, { exact: false, isKey: true }),
  money: type('numeric(8,2)', 'numeric', ['0', '1', '1.5', '-2.25', '99.99', '100', '7'], 1700, { exact: false }),
  float8: type('double precision', 'float', floats, 701, { exact: false }),
  float4: type('real', 'float', floats, 700, { exact: false }),
  date: type('date', 'date', ['2024-02-29', '2023-12-31', '2024-01-01', '1999-05-17', '2024-03-01'], 1082),
  timestamp: type('timestamp', 'timestamp', ['2024-02-29 12:30:00', '2023-12-31 23:59:59.999999', '2024-01-01 00:00:00', '1999-05-17 08:00:00'], 1114),
  timestamptz: type('timestamptz', 'timestamptz', ['2024-02-29 12:30:00+00', '2024-02-29 12:30:00+02', '2024-01-01 00:00:00+00'], 1184),
  jsonb: type('jsonb', 'jsonb', ['{}', '{"a": 1}', '{"a": 2, "b": [1, 2]}', '[1, 2, 3]', 'null', '"text"', '{"a": null}'], 3802),
  intArray: type('int[]', 'intArray', ['{}', '{1}', '{1,2,3}', '{NULL,5}', '{5,5}'], 1007),
  textArray: type('text[]', 'textArray', ['{}', '{a}', '{"a b",NULL}', '{b,a}'], 1009),
  enum: type('mood', 'enum', ['sad', 'ok', 'happy'], 0),
  domain: type('small_number', 'int', smallInts, 0, { isKey: true }),
  bytea: type('bytea', 'bytea', ['\\x', '\\x00', '\\xdeadbeef', '\\x61'], 17, { isKey: true }),
  posixText: type('text COLLATE "POSIX"', 'posixText', words, 25),
  icuText: type('text COLLATE "de-x-icu"', 'icuText', words, 25),
  /** Upper and lower case are equal. */
  looseText: type('text COLLATE loose', 'looseText', words, 25, { exact: false }),
  interval: type('interval', 'interval', ['1 day', '24 hours', '1 month', '30 days', '00:00:01'], 1186, { exact: false }),
} as const satisfies Record<string, SqlType>

/** What the types need to exist. */
export const typeCommands = [
  "CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy')",
  'CREATE DOMAIN small_number AS int CHECK (VALUE BETWEEN -1000 AND 100000)',
  "CREATE COLLATION loose (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
]

export const keyTypes: readonly SqlType[] = Object.values<SqlType>(types).filter((one) => one.isKey === true)
export const allTypes: readonly SqlType[] = Object.values<SqlType>(types)
