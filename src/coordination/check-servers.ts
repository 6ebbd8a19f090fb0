/** Before a router works on servers that other people have set up: which of their settings would make it fail later. */
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from './admin-client.ts'

const versionMin = 15

/** Settings with the least that pgherd works with, and what they are for. */
const numbers: readonly (readonly [name: string, least: number, reason: string])[] = [
  ['max_prepared_transactions', limits.poolConnectionsMax, 'transactions over several servers are prepared'],
  ['max_connections', limits.poolConnectionsMax, 'a router keeps that many'],
  ['max_locks_per_transaction', 256, 'each bucket of a table is a table on its shard'],
]

/**
 * Throws with one line for each wrong setting. A server that cannot be reached is told to `onUnreachable`: a router does without it
 * until it is back.
 */
export async function checkServers(servers: readonly ServerAddress[], credentials: Credentials, onUnreachable: (line: string) => void): Promise<void> {
  const lines = await Promise.all(servers.map((server) => checkServer(server, credentials, onUnreachable)))
  if (lines.flat().length > 0) throw new Error(lines.flat().join('\npgherd: '))
}

async function checkServer(server: ServerAddress, credentials: Credentials, onUnreachable: (line: string) => void): Promise<string[]> {
  const who = `${server.name} (${server.host}:${server.port})`
  let settings: Map<string, string>
  let version: number
  try {
    settings = await withAdmin(server, 'postgres', credentials, async (client) => {
      const names = [...numbers.map(([name]) => name), 'wal_level', 'server_version_num', 'is_superuser']
      const { rows } = await client.query<{ name: string; setting: string }>('SELECT n AS name, current_setting(n) AS setting FROM unnest($1::text[]) n', [names])
      return new Map(rows.map(({ name, setting }) => [name, setting]))
    })
    version = Math.floor(Number(settings.get('server_version_num')) / 10_000)
  } catch (error) {
    onUnreachable(`cannot ask ${who}: ${(error as Error).message}`)
    return []
  }
  const lines: string[] = []
  if (version < versionMin) lines.push(`${who} is PostgreSQL ${version}: ${versionMin} or newer is needed`)
  for (const [name, least, reason] of numbers) {
    const value = Number(settings.get(name))
    if (value < least) lines.push(`${who}: ${name} is ${value}, at least ${least} is needed (${reason})`)
  }
  if (settings.get('wal_level') !== 'logical') lines.push(`${who}: wal_level is ${settings.get('wal_level')}, logical is needed (buckets move by logical replication)`)
  if (settings.get('is_superuser') !== 'on') lines.push(`${who}: "${credentials.user}" is not a superuser`)
  return lines
}
