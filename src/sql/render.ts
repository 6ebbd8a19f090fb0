/** Trees that the planner has changed, as text again, with the proof that the text means just that tree. */
import { deparseSync } from 'pgsql-deparser'
import { SqlError } from '../base/errors.ts'
import type { AnyNode } from './ast.ts'
import { isTree } from './ast.ts'
import { parseOne } from './parse.ts'

/** The tree as JSON without the places of things in a text, its properties in one order: equal for trees that mean the same. */
export function meaning(node: unknown): string {
  const order = (key: string, value: unknown): unknown => {
    if (/location|list_start|list_end|stmt_len/.test(key)) return undefined
    return isTree(value) ? Object.fromEntries(Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1))) : value
  }
  return JSON.stringify(node, order) ?? ''
}

/** The text of a statement's tree; undefined when the text, parsed again, is not the tree. */
export function renderStatement(node: AnyNode): string | undefined {
  const text = deparseSync(node as never, { pretty: false })
  return means(text, node) ? text : undefined
}

/** The same for an expression, as it may stand in a WHERE. */
export function renderCondition(node: AnyNode): string | undefined {
  const text = deparseSync(node as never)
  return means(`SELECT WHERE ${text}`, { SelectStmt: { whereClause: node, limitOption: 'LIMIT_OPTION_DEFAULT', op: 'SETOP_NONE' } } as unknown as AnyNode) ? text : undefined
}

/** The deparser leaves out quotes that some names need: such a text does not even parse. */
function means(text: string, node: AnyNode): boolean {
  try {
    return meaning(parseOne(text)) === meaning(node)
  } catch (error) {
    if (error instanceof SqlError && error.fields.code === '42601') return false
    throw error
  }
}

/** An expression's tree, of a text that the planner itself writes. */
export function expressionOf(text: string): AnyNode {
  const target = parseOne(`SELECT ${text}`).SelectStmt?.targetList?.[0] as AnyNode | undefined
  return target?.ResTarget?.val as AnyNode
}

/**
 * A copy of the tree in which `change` has replaced objects, outermost first; undefined keeps an object and goes on inside. What is
 * not changed stays the same object.
 */
export function mapTree<T>(value: T, change: (tree: AnyNode, key: string) => unknown, key = ''): T {
  if (Array.isArray(value)) {
    const items = value.map((item: unknown) => mapTree(item, change, key))
    return items.every((item, i) => item === value[i]) ? value : (items as T)
  }
  if (!isTree(value)) return value
  const changed = change(value as AnyNode, key)
  if (changed !== undefined) return changed as T
  let copy: Record<string, unknown> | undefined
  for (const [name, child] of Object.entries(value)) {
    if (typeof child !== 'object') continue
    const next: unknown = mapTree(child, change, name)
    if (next !== child) (copy ??= { ...(value as Record<string, unknown>) })[name] = next
  }
  return (copy ?? value) as T
}
