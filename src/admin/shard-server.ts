/** Whether a server may become a shard: it runs, has the settings that are needed, is nobody's, and is empty. */
import type pg from 'pg'
import { SqlError } from '../base/errors.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { checkServers } from '../coordination/check-servers.ts'
import type { ShardParts } from './shard-parts.ts'
import type { HostPort } from './shard-record.ts'

/** Gives the server's identifier. Throws 55000 with what is wrong. */
export async function checkNewServers([primary, ...replicas]: readonly [HostPort, ...HostPort[]], parts: ShardParts): Promise<string> {
  const { login, catalog, list } = parts
  const problem = (text: string, hint?: string) => new SqlError('55000', text, { hint })
  const address = (server: HostPort): ServerAddress => ({ id: -1, name: 'the new server', ...server })
  await checkServers([address(primary)], login, (line) => {
    throw new SqlError('08001', line)
  }).catch((error: Error) => {
    throw error instanceof SqlError ? error : problem(error.message.replaceAll('\npgherd: ', '; '), 'Change the settings and start the server again.')
  })
  const systemId = await systemIdOf(address(primary), parts)
  await list.refresh() // it may have been another router's shard until just now
  for (const known of [catalog, ...list.shards]) {
    if ((await systemIdOf(known, parts)) === systemId) throw problem(`${primary.host}:${primary.port} is the server of ${known.name}, or a copy of it`, 'Start from a new initdb.')
  }
  await withAdmin(address(primary), 'postgres', login, async (client) => {
    const found = await contentOf(client)
    if (found.length > 0) throw problem(`${primary.host}:${primary.port} is not empty: it has ${found.slice(0, 5).join(', ')}${found.length > 5 ? ', ...' : ''}`, 'A new shard is made of an empty server.')
  })
  for (const replica of replicas) {
    if ((await systemIdOf(address(replica), parts)) !== systemId) throw problem(`${replica.host}:${replica.port} is no replica of ${primary.host}:${primary.port}`)
    const { rows } = await withAdmin(address(replica), 'postgres', login, (client) => client.query<{ is: boolean }>('SELECT pg_is_in_recovery() AS is'))
    if (rows[0]?.is !== true) throw problem(`${replica.host}:${replica.port} is not a replica`)
  }
  return systemId
}

export async function systemIdOf(server: ServerAddress, { login }: ShardParts): Promise<string> {
  const { rows } = await withAdmin(server, 'postgres', login, (client) => client.query<{ id: string }>('SELECT system_identifier::text AS id FROM pg_control_system()'))
  return rows[0]?.id ?? ''
}

/** What users have made on it. */
async function contentOf(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ what: string }>(
    `SELECT format('database "%s"', datname) AS what FROM pg_database WHERE datname NOT IN ('postgres', 'template0', 'template1')
     UNION ALL SELECT format('role "%s"', rolname) FROM pg_roles WHERE oid >= 16384 AND rolname <> current_user
     UNION ALL SELECT format('tablespace "%s"', spcname) FROM pg_tablespace WHERE oid >= 16384
     UNION ALL SELECT format('schema "%s"', nspname) FROM pg_namespace WHERE oid >= 16384 AND nspname !~ '^pg_(toast_)?temp_'
     UNION ALL SELECT format('relation "%s"', oid::regclass) FROM pg_class WHERE relnamespace = 'public'::regnamespace
     UNION ALL SELECT format('function "%s"', oid::regprocedure) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
     UNION ALL SELECT format('type "%s"', oid::regtype) FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typrelid = 0 AND typelem = 0
     UNION ALL SELECT format('extension "%s"', extname) FROM pg_extension WHERE oid >= 16384
     UNION ALL SELECT 'prepared transactions' FROM pg_prepared_xacts`,
  )
  return rows.map(({ what }) => what)
}
