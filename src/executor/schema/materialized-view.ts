/** A materialized view on its shard: over a table of rows whose columns have names of their own, so that renames do not touch it. */
import { qualified, quoteIdent } from '../../base/quote.ts'
import type { Relation } from '../../catalog/snapshot.ts'
import { dataSchema } from '../../catalog/snapshot.ts'

export function rowsOfView(relation: Relation): { view: string; rows: string; columns: string[] } {
  return {
    view: qualified(relation.schema, relation.name),
    rows: `${dataSchema}.q${relation.table?.id}`,
    columns: relation.columns.map((_, i) => `c${i + 1}`),
  }
}

export function createViewStatements(relation: Relation): string[] {
  const { view, rows, columns } = rowsOfView(relation)
  const defined = relation.columns.map((column, i) => `${columns[i]} ${column.type}${column.collation === undefined ? '' : ` COLLATE ${column.collation}`}`)
  const named = relation.columns.map((column) => quoteIdent(column.name)).join(', ')
  return [`CREATE TABLE ${rows} (${defined.join(', ')})`, `CREATE MATERIALIZED VIEW ${view} (${named}) AS SELECT ${columns.join(', ')} FROM ${rows} WITH NO DATA`]
}
