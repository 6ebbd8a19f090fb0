/**
 * Where a table's rows go when nobody says, and what its constraints allow.
 *
 * A constraint that one shard cannot keep alone (UNIQUE without the key, a foreign key between tables that are not
 * co-located) makes the tables single, together on one shard.
 */
import { refuse } from '../../base/errors.ts'
import type { KeyType, Relation, TablePlacement } from '../../catalog/snapshot.ts'
import { proposeShard } from '../../catalog/ring.ts'
import type { SchemaChange } from './schema-change.ts'
import type { ConstraintDefinition, TableDefinition } from './table-definition.ts'
import { readDefinition } from './table-definition.ts'

export type Wanted =
  | { readonly kind: 'distributed'; readonly key: string; readonly keyType: KeyType }
  | { readonly kind: 'single'; readonly shard: number; readonly reason: string | undefined }
  | { readonly kind: 'reference' }

const keyTypes: Readonly<Record<string, KeyType>> = {
  smallint: 'int2',
  integer: 'int4',
  bigint: 'int8',
  text: 'text',
  'character varying': 'varchar',
  character: 'bpchar',
  uuid: 'uuid',
  numeric: 'numeric',
  bytea: 'bytea',
}

/**
 * The type by which a column can be a key; undefined for types whose hash is not known here, and for numeric(p, s), whose
 * values are rounded before they find their partition.
 */
export function keyTypeOf(type: string | undefined): KeyType | undefined {
  return keyTypes[(type ?? '').replace(/^(character|character varying)\(\d+\)$/, '$1')]
}

/** Why a key cannot be this table's, or undefined. */
export function keyProblem(definition: TableDefinition, key: string): string | undefined {
  for (const constraint of definition.constraints) {
    if (constraint.type === 'x') return `exclusion constraint "${constraint.name}" spans shards`
    if ((constraint.type === 'p' || constraint.type === 'u') && !constraint.columns.includes(key)) {
      return `${constraint.type === 'p' ? 'primary key' : 'unique constraint'} "${constraint.name}" does not include the shard key "${key}"`
    }
  }
  for (const index of definition.indexes) {
    if (index.unique && !index.columns.includes(key)) return `unique index "${index.name}" does not include the shard key "${key}"`
  }
  const column = definition.columns.find((one) => one.name === key)
  if (column?.collation != null) return `the collation of "${key}" may be one that takes unequal strings for equal`
  return undefined
}

/** True when each shard can keep the foreign key alone. */
export function keepable(table: TablePlacementLike, constraint: ConstraintDefinition, referenced: Relation): boolean {
  const other = referenced.table
  if (other === undefined || table.kind === 'reference') return other?.kind === 'reference'
  if (other.kind === 'reference') return true
  if (table.kind === 'single') return other.kind === 'single' && other.shard === table.shard
  if (other.kind !== 'distributed' || other.keyType !== table.keyType) return false
  return constraint.columns.some((column, i) => column === table.key && constraint.referencedColumns[i] === other.keyColumn)
}

export type TablePlacementLike =
  | { readonly kind: 'distributed'; readonly key: string; readonly keyType: KeyType }
  | { readonly kind: 'single'; readonly shard: number }
  | { readonly kind: 'reference' }

export function asWanted(table: TablePlacement): TablePlacementLike {
  if (table.kind === 'distributed') return { kind: 'distributed', key: table.keyColumn ?? '', keyType: table.keyType ?? 'int4' }
  return table.kind === 'single' ? { kind: 'single', shard: table.shard ?? 0 } : { kind: 'reference' }
}

/** What a table without anybody's choice should be, as far as its own definition says. */
export function choose(relation: Relation, definition: TableDefinition, change: SchemaChange): Wanted {
  const shard = proposeShard(`${relation.schema}.${relation.name}`, change.shardsForNew)
  const single = (reason?: string): Wanted => ({ kind: 'single', shard, reason })
  const parent = definition.parent ?? definition.inherits[0]
  if (parent !== undefined && parent !== null) {
    const owner = [...change.snapshot.relations.values()].find((one) => qualifies(parent, one))
    if (owner?.table !== undefined && owner.table.kind !== 'single') throw refuse('cannot inherit from a table that is on several shards')
    return { kind: 'single', shard: owner?.table?.shard ?? shard, reason: undefined }
  }
  if (definition.partitionKey !== null) return single()
  const primary = definition.constraints.find((constraint) => constraint.type === 'p')
  const [key, ...more] = primary?.columns ?? []
  if (key === undefined || more.length > 0) return single()
  const keyType = keyTypeOf(relation.columns.find((column) => column.name === key)?.baseType)
  if (keyType === undefined) return single()
  const problem = keyProblem(definition, key)
  return problem === undefined ? { kind: 'distributed', key, keyType } : single(problem)
}

function qualifies(text: string, relation: Relation): boolean {
  const plain = (name: string) => name.replaceAll('"', '')
  return plain(text) === `${relation.schema}.${relation.name}`
}

/**
 * The tables that must be single together with this one, because of foreign keys that no shard could keep alone.
 * Gives an empty list when all of its foreign keys can be kept.
 */
export async function boundTogether(relation: Relation, wanted: TablePlacementLike, change: SchemaChange): Promise<{ relations: Relation[]; reason: string } | undefined> {
  const definitions = new Map<number, TableDefinition>()
  const definitionOf = async (oid: number) => {
    const known = definitions.get(oid) ?? (await readDefinition(change, oid))
    definitions.set(oid, known)
    return known
  }
  const { snapshot } = change
  const edges: { from: Relation; to: Relation; constraint: ConstraintDefinition }[] = []
  for (const one of snapshot.relations.values()) {
    if (one.table === undefined && one.oid !== relation.oid) continue
    for (const constraint of (await definitionOf(one.oid)).constraints) {
      const to = snapshot.relationsByOid.get(constraint.referenced)
      if (constraint.type === 'f' && to !== undefined) edges.push({ from: one, to, constraint })
    }
  }
  const placed = (one: Relation): TablePlacementLike | undefined => (one.oid === relation.oid ? wanted : one.table === undefined ? undefined : asWanted(one.table))
  const asRelation = (one: Relation): Relation => {
    const like = placed(one)
    if (one.oid !== relation.oid || like === undefined) return one
    const base = one.table ?? { id: 0, group: undefined, layout: 1, byDefault: true }
    const table: TablePlacement =
      like.kind === 'distributed'
        ? { ...base, kind: 'distributed', keyColumn: like.key, keyType: like.keyType, shard: undefined }
        : { ...base, kind: like.kind, keyColumn: undefined, keyType: undefined, shard: like.kind === 'single' ? like.shard : undefined }
    return { ...one, table }
  }
  const broken = edges.find(({ from, to, constraint }) => {
    if (from.oid !== relation.oid && to.oid !== relation.oid) return false
    const like = placed(from)
    return like !== undefined && !keepable(like, constraint, asRelation(to))
  })
  if (broken === undefined) return undefined
  const together = new Set([relation.oid])
  for (let grew = true; grew; ) {
    grew = false
    for (const { from, to } of edges) {
      for (const [one, other] of [[from, to], [to, from]] as const) {
        if (!together.has(one.oid) || together.has(other.oid) || placed(other)?.kind === 'reference') continue
        together.add(other.oid)
        grew = true
      }
    }
  }
  const relations = [...together].flatMap((oid) => snapshot.relationsByOid.get(oid) ?? [])
  return { relations, reason: `foreign key "${broken.constraint.name}" is between tables that are not co-located` }
}
