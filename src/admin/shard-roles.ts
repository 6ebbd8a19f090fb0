/** Brings the catalog's roles to a new shard. The server's own superuser, as whom routers log in, stays as it is. */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import { limits } from '../base/limits.ts'
import { quoteIdent, quoteLiteral } from '../base/quote.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import type { ShardParts } from './shard-parts.ts'

interface Role {
  readonly name: string
  readonly options: string
  readonly settings: readonly string[] | null
}

const rolesQuery = `
  SELECT r.rolname AS name, concat_ws(' ',
    CASE WHEN r.rolsuper THEN 'SUPERUSER' ELSE 'NOSUPERUSER' END, CASE WHEN r.rolinherit THEN 'INHERIT' ELSE 'NOINHERIT' END,
    CASE WHEN r.rolcreaterole THEN 'CREATEROLE' ELSE 'NOCREATEROLE' END, CASE WHEN r.rolcreatedb THEN 'CREATEDB' ELSE 'NOCREATEDB' END,
    CASE WHEN r.rolcanlogin THEN 'LOGIN' ELSE 'NOLOGIN' END, CASE WHEN r.rolreplication THEN 'REPLICATION' ELSE 'NOREPLICATION' END,
    CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' ELSE 'NOBYPASSRLS' END, 'CONNECTION LIMIT ' || r.rolconnlimit,
    'PASSWORD ' || coalesce(quote_literal(a.rolpassword), 'NULL'), 'VALID UNTIL ' || quote_literal(r.rolvaliduntil)) AS options,
    (SELECT s.setconfig FROM pg_db_role_setting s WHERE s.setrole = r.oid AND s.setdatabase = 0) AS settings
  FROM pg_roles r JOIN pg_authid a ON a.oid = r.oid WHERE r.rolname !~ '^pg_' ORDER BY r.oid`

/** Waits until no change of roles is under way that could have missed that a shard joins. Those that come later see it, and refuse. */
export async function awaitRoleChanges({ catalog, credentials }: ShardParts): Promise<void> {
  await withAdmin(catalog, clusterDatabase, credentials, async (client) => {
    await client.query(`BEGIN; SET LOCAL lock_timeout = ${limits.joinWaitMsMax}; LOCK TABLE pg_catalog.pg_authid IN SHARE MODE; COMMIT`)
  }).catch((error: Error & { code?: string }) => {
    throw error.code === '55P03' ? new SqlError('55P03', 'a change of roles does not end', { hint: 'Look for transactions that are open on the catalog, and try again.' }) : error
  })
}

/** `client` is one of the new shard's server. */
export async function copyRoles(client: pg.Client, { catalog, credentials }: ShardParts): Promise<void> {
  const source = await withAdmin(catalog, clusterDatabase, credentials, readRoles)
  const { rows } = await client.query<{ name: string }>('SELECT rolname AS name FROM pg_roles')
  const known = new Set(rows.map(({ name }) => name))
  // In one transaction: whoever looks finds all of them or none.
  await client.query('BEGIN')
  for (const { name, options, settings } of source.roles) {
    const isOwn = name === credentials.user
    if (!known.has(name)) await client.query(`CREATE ROLE ${quoteIdent(name)}`)
    if (!isOwn) await client.query(`ALTER ROLE ${quoteIdent(name)} ${options}`)
    await client.query(`ALTER ROLE ${quoteIdent(name)} RESET ALL`)
    for (const setting of settings ?? []) await client.query(`ALTER ROLE ${quoteIdent(name)} ${settingText(setting)}`)
  }
  for (const membership of source.memberships) await client.query(membership)
  await client.query('COMMIT')
  const copied = await readRoles(client)
  const facts = ({ roles, memberships }: Awaited<ReturnType<typeof readRoles>>) => new Set([...roles.filter(({ name }) => name !== credentials.user).map((role) => JSON.stringify(role)), ...memberships])
  const there = facts(copied)
  const missing = [...facts(source)].find((fact) => !there.has(fact))
  if (missing !== undefined) throw new SqlError('XX000', 'a role is not on the new shard as it is on the catalog', { detail: missing })
}

async function readRoles(client: pg.Client): Promise<{ roles: Role[]; memberships: string[] }> {
  const { rows: roles } = await client.query<Role>(rolesQuery)
  const { rows: memberships } = await client.query<{ text: string }>(
    `SELECT DISTINCT format('GRANT %I TO %I', pg_get_userbyid(m.roleid), pg_get_userbyid(m.member)) || CASE
       WHEN to_jsonb(m) ? 'inherit_option' THEN format(' WITH ADMIN %s, INHERIT %s, SET %s', m.admin_option::text, to_jsonb(m) ->> 'inherit_option', to_jsonb(m) ->> 'set_option')
       WHEN m.admin_option THEN ' WITH ADMIN OPTION' ELSE '' END AS text
     FROM pg_auth_members m WHERE m.member >= 16384 OR m.roleid >= 16384 ORDER BY 1`,
  )
  return { roles, memberships: memberships.map(({ text }) => text) }
}

/** Settings whose value is a list, with each name in it quoted by itself. */
const lists = new Set(['local_preload_libraries', 'search_path', 'session_preload_libraries', 'shared_preload_libraries', 'temp_tablespaces', 'unix_socket_directories'])

/** name=value, as PostgreSQL keeps it, in SET's words. */
export function settingText(setting: string): string {
  const at = setting.indexOf('=')
  const [name, value] = [setting.slice(0, at), setting.slice(at + 1)]
  const quoted = name.split('.').map(quoteIdent).join('.')
  return `SET ${quoted} TO ${lists.has(name.toLowerCase()) ? (value === '' ? "''" : value) : quoteLiteral(value)}`
}
