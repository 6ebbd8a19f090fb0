/** Which relation a name means, as PostgreSQL would find it: temporary tables, pg_catalog, then the search path. */
import { SqlError } from '../base/errors.ts'
import type { Builtins, Relation, Snapshot } from '../catalog/snapshot.ts'
import { relationKey } from '../catalog/snapshot.ts'
import type { RangeVar } from '../sql/ast.ts'

export interface NameContext {
  readonly snapshot: Snapshot
  /** The schemas of search_path, in order, "$user" replaced. */
  readonly searchPath: readonly string[]
  /** Names of the session's temporary tables and views. */
  readonly temporary: ReadonlySet<string>
  /** Type OIDs of $1, $2, ... as far as they are known; 0 where not. */
  readonly parameterTypes: readonly number[]
  /** Queries that give the rows of views of the system which speak of the session, by name. */
  readonly views?: ReadonlyMap<string, string> | undefined
  /** Rows of reference tables come from a shard, too, where the catalog's would be of a later moment. */
  readonly fetchesReference?: boolean
}

export type Resolved =
  | { readonly kind: 'relation'; readonly relation: Relation }
  /** pg_catalog, information_schema, pgherd's own views: the shell answers. */
  | { readonly kind: 'system' }
  | { readonly kind: 'temporary' }
  | { readonly kind: 'unknown' }

export function resolveName(context: NameContext, schema: string | undefined, name: string): Resolved {
  const { snapshot } = context
  if (schema === undefined) {
    if (context.temporary.has(name)) return { kind: 'temporary' }
    const explicit = context.searchPath.includes('pg_catalog')
    if (!explicit && snapshot.builtins.relations.has(name)) return { kind: 'system' }
    for (const path of context.searchPath) {
      if (path === 'pg_catalog' && snapshot.builtins.relations.has(name)) return { kind: 'system' }
      if (path === 'information_schema' && snapshot.builtins.informationSchema.has(name)) return { kind: 'system' }
      const relation = snapshot.relations.get(relationKey(path, name))
      if (relation !== undefined) return { kind: 'relation', relation }
    }
    return { kind: 'unknown' }
  }
  if (schema === 'pg_temp') return { kind: 'temporary' }
  if (schema === 'pg_catalog' || schema === 'information_schema' || schema === 'pgherd') return { kind: 'system' }
  if (schema === 'pgherd_data') throw new SqlError('42501', 'permission denied for schema pgherd_data')
  const relation = snapshot.relations.get(relationKey(schema, name))
  return relation === undefined ? { kind: 'unknown' } : { kind: 'relation', relation }
}

/** The schemas that a search_path setting names. */
export function parseSearchPath(setting: string, user: string): string[] {
  const parts = setting.match(/"(?:[^"]|"")*"|[^,\s]+/g) ?? []
  return parts
    .map((part) => (part.startsWith('"') ? part.slice(1, -1).replaceAll('""', '"') : part.replace(/[A-Z]/g, (letter) => letter.toLowerCase())))
    .map((part) => (part === '$user' ? user : part))
    .filter((part) => part !== '')
}

/** The key, as in Builtins.ownerColumns, of a name that has resolved to one of the system's. */
export function systemRelationKey({ schemaname, relname = '' }: RangeVar, builtins: Builtins): string {
  return relationKey(schemaname ?? (builtins.relations.has(relname) ? 'pg_catalog' : 'information_schema'), relname)
}
