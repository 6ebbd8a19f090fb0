/** Makes a database on a new shard as the catalog has it, without anything in it, and what the server says about it. */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { quoteIdent, quoteLiteral } from '../base/quote.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { migrate } from '../coordination/migrate.ts'
import type { ShardParts } from './shard-parts.ts'
import { settingText } from './shard-roles.ts'

interface Facts {
  readonly owner: string
  readonly encoding: string
  readonly collate: string
  readonly ctype: string
  readonly provider: string
  /** Of ICU or the built-in provider. */
  readonly locale: string | null
  readonly rules: string | null
  readonly connections: number
  /** Undefined as they are when nobody has granted anything. */
  readonly grants: readonly string[] | null
  /** By role; '' for everybody. */
  readonly settings: readonly { readonly role: string; readonly setting: string }[]
}

const factsQuery = `
  SELECT json_build_object('owner', pg_get_userbyid(d.datdba), 'encoding', pg_encoding_to_char(d.encoding), 'collate', d.datcollate, 'ctype', d.datctype,
    'provider', d.datlocprovider, 'locale', coalesce(to_jsonb(d) ->> 'datlocale', to_jsonb(d) ->> 'daticulocale'), 'rules', to_jsonb(d) ->> 'daticurules', 'connections', d.datconnlimit,
    'grants', CASE WHEN d.datacl IS NOT NULL THEN (SELECT coalesce(json_agg(g.text ORDER BY g.text), '[]') FROM (
        SELECT format('GRANT %s ON DATABASE %I TO %s%s', x.privilege_type, d.datname, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
                      CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END) AS text FROM aclexplode(d.datacl) x) g) END,
    'settings', (SELECT coalesce(json_agg(json_build_object('role', CASE WHEN s.setrole = 0 THEN '' ELSE pg_get_userbyid(s.setrole) END, 'setting', c.setting) ORDER BY CASE WHEN s.setrole = 0 THEN '' ELSE pg_get_userbyid(s.setrole) END, c.setting), '[]')
                 FROM pg_db_role_setting s, unnest(s.setconfig) c (setting) WHERE s.setdatabase = d.oid)) AS facts
  FROM pg_database d WHERE d.datname = $1`

/** `client` is one of the server `target`. May be repeated. */
export async function makeDatabase(database: string, client: pg.Client, target: ServerAddress, parts: ShardParts): Promise<void> {
  const { catalog, credentials } = parts
  const wanted = await read(catalog, database, parts)
  if (wanted === undefined) throw new SqlError('3D000', `database "${database}" does not exist`)
  const there = await readOn(client, database)
  if (there === undefined) {
    await client.query(createText(database, wanted))
  } else if (textOf(there) !== textOf(wanted)) {
    throw new SqlError('55000', `database "${database}" has ${textOf(there)} on the new server, and ${textOf(wanted)} on the catalog`, { hint: "Run initdb with the catalog's encoding and locale." })
  }
  await withAdmin(target, database, credentials, (own) => migrate(own, ['server']))
}

/** What is said about the database and not in it. Last: a limit of connections, or a setting, is not to be in the way. */
export async function copyDatabaseSettings(database: string, client: pg.Client, parts: ShardParts): Promise<void> {
  const wanted = await read(parts.catalog, database, parts)
  if (wanted === undefined) return
  const name = quoteIdent(database)
  const statements = [`ALTER DATABASE ${name} OWNER TO ${quoteIdent(wanted.owner)}`, `ALTER DATABASE ${name} CONNECTION LIMIT ${wanted.connections}`, `ALTER DATABASE ${name} RESET ALL`]
  if (wanted.grants !== null) statements.push(`REVOKE ALL ON DATABASE ${name} FROM PUBLIC`, `REVOKE ALL ON DATABASE ${name} FROM ${quoteIdent(wanted.owner)}`, ...wanted.grants)
  for (const { role, setting } of wanted.settings) {
    statements.push(role === '' ? `ALTER DATABASE ${name} ${settingText(setting)}` : `ALTER ROLE ${quoteIdent(role)} IN DATABASE ${name} ${settingText(setting)}`)
  }
  await client.query(['BEGIN', ...statements, 'COMMIT'].join('; '))
  const made = await readOn(client, database)
  if (JSON.stringify(made) !== JSON.stringify(wanted)) throw new SqlError('XX000', `database "${database}" is not on the new shard as it is on the catalog`, { detail: `${JSON.stringify(made)} is not ${JSON.stringify(wanted)}` })
}

const read = (server: ServerAddress, database: string, { credentials }: ShardParts) => withAdmin(server, 'postgres', credentials, (client) => readOn(client, database))

async function readOn(client: pg.Client, database: string): Promise<Facts | undefined> {
  return (await client.query<{ facts: Facts }>(factsQuery, [database])).rows[0]?.facts
}

const providers: Readonly<Record<string, string>> = { c: 'libc', i: 'icu', b: 'builtin' }

function createText(database: string, { encoding, collate, ctype, provider, locale, rules }: Facts): string {
  const own = provider === 'c' ? '' : ` ${provider === 'b' ? 'BUILTIN_LOCALE' : 'ICU_LOCALE'} ${quoteLiteral(locale ?? '')}${rules === null ? '' : ` ICU_RULES ${quoteLiteral(rules)}`}`
  return `CREATE DATABASE ${quoteIdent(database)} TEMPLATE template0 ENCODING ${quoteLiteral(encoding)} LOCALE_PROVIDER ${providers[provider] ?? provider} LC_COLLATE ${quoteLiteral(collate)} LC_CTYPE ${quoteLiteral(ctype)}${own}`
}

const textOf = ({ encoding, collate, ctype, provider, locale }: Facts) => `encoding ${encoding}, collation ${collate}, ctype ${ctype}, provider ${providers[provider] ?? provider}${locale === null ? '' : ` with ${locale}`}`
