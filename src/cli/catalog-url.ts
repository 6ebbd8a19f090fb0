import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { catalogAddress } from '../coordination/bootstrap.ts'

/** postgres://user:password@host:port, the way in for the router itself. */
export function parseCatalogUrl(text: string): { catalog: ServerAddress; credentials: Credentials } {
  const url = new URL(text)
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') throw new Error('--catalog must be a postgres:// URL')
  const user = decodeURIComponent(url.username) || 'postgres'
  const password = url.password === '' ? undefined : decodeURIComponent(url.password)
  return { catalog: catalogAddress(url.hostname, Number(url.port || 5432)), credentials: { user, password } }
}
