/** CREATE TABLE ... WITH (pgherd.shard_key = 'c', pgherd.kind = 'reference'): read here, and taken out of what PostgreSQL gets. */
import { refuse, SqlError } from '../../base/errors.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import { shardsForNew } from '../../catalog/snapshot.ts'
import { proposeShard } from '../../catalog/ring.ts'
import type { Wanted } from '../../executor/schema/choose-placement.ts'
import { keyTypeOf } from '../../executor/schema/choose-placement.ts'
import type { AnyNode } from '../../sql/ast.ts'
import type { Statement } from '../../sql/parse.ts'
import { tokensWithDepth } from '../../sql/scanner.ts'

export function placementOptions(statement: Statement, snapshot: Snapshot): { shellText: string; asked: ((relation: Relation) => Wanted) | undefined } {
  const { source, node } = statement
  const create = node.CreateStmt
  let text = source.text
  if (node.IndexStmt?.concurrent === true || node.DropStmt?.concurrent === true) {
    // The shell's table is empty: there is nobody to wait for, and the change stays in one transaction.
    text = text.replace(/\bconcurrently\b/i, '')
  }
  const given = create?.options ?? node.CreateTableAsStmt?.into?.options ?? []
  const options = given.map((option) => (option as AnyNode).DefElem).filter((option) => option?.defnamespace === 'pgherd')
  if (options.length === 0) return { shellText: text, asked: undefined }
  if (options.length !== given.length) throw refuse('pgherd options cannot be mixed with others in one WITH')
  const valueOf = (name: string) => {
    const arg = options.find((option) => option?.defname === name)?.arg as AnyNode | undefined
    return arg?.String?.sval ?? arg?.TypeName?.names?.map((part) => (part as AnyNode).String?.sval).join('.')
  }
  for (const option of options) {
    if (option?.defname !== 'kind' && option?.defname !== 'shard_key') throw new SqlError('22023', `unrecognized parameter "pgherd.${option?.defname}"`)
  }
  const key = valueOf('shard_key')
  const kind = valueOf('kind') ?? 'distributed'
  const asked = (relation: Relation): Wanted => {
    if (kind === 'reference') return { kind }
    if (kind === 'single') return { kind, shard: proposeShard(`${relation.schema}.${relation.name}`, shardsForNew(snapshot)), reason: undefined }
    if (kind !== 'distributed' || key === undefined) throw new SqlError('22023', 'pgherd.kind is distributed (with pgherd.shard_key), reference or single')
    return distributedBy(relation, key)
  }
  return { shellText: cutWith(source.raw, text), asked }
}

export function distributedBy(relation: Relation, key: string): Wanted {
  const column = relation.columns.find((one) => one.name === key)
  if (column === undefined) throw new SqlError('42703', `column "${key}" of relation "${relation.name}" does not exist`)
  const keyType = keyTypeOf(column.baseType)
  if (keyType === undefined) throw refuse(`a column of type ${column.type} cannot be a shard key`, 'Use an integer, text, varchar or uuid column.')
  return { kind: 'distributed', key, keyType }
}

function cutWith(raw: string, text: string): string {
  let start = -1
  for (const token of tokensWithDepth(raw)) {
    if (token.depth !== 0) continue
    if (token.text.toLowerCase() === 'with') start = token.start
    else if (token.text === ')' && start >= 0) {
      const bytes = Buffer.from(text)
      return Buffer.concat([bytes.subarray(0, start), bytes.subarray(token.end)]).toString()
    }
  }
  return text
}
