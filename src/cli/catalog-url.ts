import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import type { ShardServers } from '../coordination/bootstrap.ts'
import { catalogAddress } from '../coordination/bootstrap.ts'

/** postgres://user:password@host:port[,host:port...], the way in for the router itself. */
export function parseCatalogUrl(text: string): { catalog: ServerAddress; credentials: Credentials } {
  const [, start, first, more = '', rest] = /^(postgres(?:ql)?:\/\/(?:[^@/]*@)?)([^,/]*)((?:,[^,/]+)*)(.*)$/.exec(text) ?? []
  if (start === undefined) throw new Error('--catalog must be a postgres:// URL')
  const url = new URL(`${start}${first}${rest}`)
  const others = more.split(',').slice(1).map(parsePlace)
  const user = decodeURIComponent(url.username) || 'postgres'
  const password = url.password === '' ? undefined : decodeURIComponent(url.password)
  return { catalog: catalogAddress(url.hostname, Number(url.port || 5432), others), credentials: { user, password } }
}

function parsePlace(text: string): { host: string; port: number } {
  const { hostname, port } = new URL(`postgres://${text}`)
  return { host: hostname, port: Number(port || 5432) }
}

/** As ioredis reads it: redis://user:password@host:port/database, rediss:// with TLS. */
export function checkRedisUrl(text: string): string {
  if (!/^rediss?:$/.test(new URL(text).protocol)) throw new Error('--redis must be a redis:// URL')
  return text
}

/** A shard's servers, its primary first: host:port[,host:port...] */
export function parseShard(text: string, index: number): ShardServers {
  const [primary, ...replicas] = text.split(',').map(parsePlace)
  if (primary === undefined) throw new Error('--shard wants HOST:PORT')
  return { name: `shard${index + 1}`, primary, replicas }
}
