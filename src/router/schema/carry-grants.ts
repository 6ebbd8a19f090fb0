/** Who may do what with a table, and who owns it: the same for the table's leaves and marker. */
import { qualified, quoteIdent, quoteLiteral } from '../../base/quote.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { leafName, markerName } from '../../catalog/snapshot.ts'
import type { SchemaChange } from '../../executor/schema/schema-change.ts'
import { rowsOfView } from '../../executor/schema/materialized-view.ts'
import { grantStatements, holders, readDefinition } from '../../executor/schema/table-definition.ts'
import type { AnyNode, GrantStmt, RangeVar } from '../../sql/ast.ts'
import { names } from '../../sql/ast.ts'
import type { Session } from '../session.ts'
import { targetOf } from './target.ts'

export async function carryGrants(grant: GrantStmt, before: Snapshot, change: SchemaChange, session: Session): Promise<void> {
  for (const relation of tablesOf(grant, before, session)) {
    if (relation.table === undefined) continue
    const definition = await readDefinition(change, relation.oid)
    const group = change.snapshot.groups.get(relation.table.group ?? 0)
    const leaves = (shard: number) =>
      (group?.owners ?? []).flatMap((owner, bucket) => (owner === shard ? [`pgherd_data.t${relation.table?.id}_b${bucket}`] : []))
    for (const shard of holders(relation, change)) {
      const all = [qualified(relation.schema, relation.name), ...(relation.table.kind === 'distributed' ? leaves(shard) : [])]
      const { rows } = await change.onShard(shard, granteesQuery(qualified(relation.schema, relation.name)))
      const revokes = all.flatMap((name) => rows.map(([grantee]) => `REVOKE ALL ON ${name} FROM ${grantee}`))
      await change.onShard(shard, [...revokes, ...grantStatements(relation, definition, group, shard)].join(';\n'))
    }
  }
}

/** The tables named, or all of the schemas named. */
function tablesOf(grant: GrantStmt, before: Snapshot, session: Session): Relation[] {
  const objects = (grant.objects ?? []) as AnyNode[]
  if (grant.targtype === 'ACL_TARGET_ALL_IN_SCHEMA') {
    const schemas = new Set(names(objects))
    return [...before.relations.values()].filter((relation) => schemas.has(relation.schema))
  }
  return objects.flatMap((object) => (object.RangeVar === undefined ? [] : (targetOf(object.RangeVar as RangeVar, before, session) ?? [])))
}

/** Everybody who has been granted something on a table or its columns, but its owner. */
function granteesQuery(name: string): string {
  const table = `${quoteLiteral(name)}::regclass`
  return `SELECT DISTINCT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END
    FROM pg_class c, LATERAL (SELECT * FROM aclexplode(c.relacl)
      UNION ALL SELECT e.* FROM pg_attribute a, aclexplode(a.attacl) e WHERE a.attrelid = c.oid) x
    WHERE c.oid = ${table} AND x.grantee <> c.relowner`
}

/** The owner of a table owns its leaves and marker too: later changes come from that role. */
export async function carryOwner(relation: Relation, change: SchemaChange): Promise<void> {
  const { table } = relation
  if (table === undefined) return
  const { owner } = await readDefinition(change, relation.oid)
  const group = change.snapshot.groups.get(table.group ?? 0)
  for (const shard of holders(relation, change)) {
    const leaves = table.kind !== 'distributed' ? [] : (group?.owners ?? []).flatMap((id, bucket) => (id === shard ? [leafName(table.id, bucket)] : []))
    const rows = relation.relkind === 'm' ? [rowsOfView(relation).rows] : []
    const all = [qualified(relation.schema, relation.name), markerName(table), ...leaves, ...rows]
    await change.onShard(shard, all.map((name) => `ALTER TABLE ${name} OWNER TO ${quoteIdent(owner)}`).join('; '))
  }
}
