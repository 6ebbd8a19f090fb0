/** A shard whose primary is looked after: its servers, and what the cluster's database says of them. */
import type pg from 'pg'
import type { ServerAddress } from '../catalog/server-address.ts'

/** One of those that have every commit that the primary has acknowledged, together. */
export interface InSync {
  readonly host: string
  readonly port: number
  /** By which the primary knows it. */
  readonly name: string
}

export interface OpenFailover {
  readonly id: number
  readonly step: 'cutting off' | 'promoting'
  /** host:port */
  readonly inSync: readonly string[]
  readonly oldPrimary: string
  readonly newPrimary: string | undefined
}

export interface GuardedShard {
  readonly id: number
  readonly name: string
  /** Grows with each change of the primary. */
  readonly term: number
  readonly primary: ServerAddress
  readonly replicas: readonly ServerAddress[]
  readonly inSync: readonly InSync[]
  readonly failover: OpenFailover | undefined
}

export const serverKey = ({ host, port }: { readonly host: string; readonly port: number }) => `${host}:${port}`

interface Row {
  readonly id: number
  readonly name: string
  readonly term: number
  readonly servers: readonly { readonly host: string; readonly port: number; readonly role: string }[]
  readonly in_sync: readonly InSync[] | null
  readonly failover: { readonly id: number; readonly step: OpenFailover['step']; readonly in_sync: string[]; readonly old_primary: string; readonly new_primary: string | null } | null
}

/** Those that have replicas. The client is one of the cluster's database. */
export async function readGuardedShards(client: pg.Client): Promise<GuardedShard[]> {
  const { rows } = await client.query<Row>(`
    SELECT s.id, s.name, s.term::float8 AS term,
           (SELECT json_agg(json_build_object('host', v.host, 'port', v.port, 'role', v.role) ORDER BY v.host, v.port) FROM pgherd.server v WHERE v.shard_id = s.id) AS servers,
           (SELECT json_agg(json_build_object('host', i.host, 'port', i.port, 'name', i.name)) FROM pgherd.in_sync i WHERE i.shard_id = s.id AND i.term = s.term) AS in_sync,
           (SELECT to_json(f) FROM pgherd.failover f WHERE f.shard_id = s.id AND f.step <> 'done') AS failover
    FROM pgherd.shard s
    WHERE s.state <> 'removed' AND EXISTS (SELECT FROM pgherd.server v WHERE v.shard_id = s.id AND v.role = 'replica') ORDER BY s.id`)
  return rows.flatMap(({ id, name, term, servers, in_sync: inSync, failover }) => {
    const address = (server: Row['servers'][number]): ServerAddress => ({ id, name: `${name} (${serverKey(server)})`, host: server.host, port: server.port })
    const primary = servers.find(({ role }) => role === 'primary')
    if (primary === undefined) return []
    return [{ id, name, term, primary: address(primary), replicas: servers.filter(({ role }) => role === 'replica').map(address), inSync: inSync ?? [], failover: failover === null ? undefined : openFailover(failover) }]
  })
}

function openFailover({ id, step, in_sync: inSync, old_primary: oldPrimary, new_primary: newPrimary }: NonNullable<Row['failover']>): OpenFailover {
  return { id, step, inSync, oldPrimary, newPrimary: newPrimary ?? undefined }
}
