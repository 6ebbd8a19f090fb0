/**
 * Volatile functions that a write may call on each shard by itself.
 *
 * Each call of them gives a value of its own, whatever was called before and wherever it runs, and has no effect. So a row
 * may get its value on its shard, as long as the call is made for the row: one inside a subquery is made once for all rows,
 * and would be made once a shard.
 */
import { names, walk } from '../sql/ast.ts'
import type { AnyNode } from '../sql/ast.ts'
import type { StatementFacts } from './facts.ts'
import type { NameContext } from './resolve.ts'

const freshFunctions = new Set(['random', 'random_normal', 'gen_random_uuid', 'uuidv4', 'uuidv7', 'clock_timestamp', 'timeofday'])

/** The facts of a write without such calls. */
export function withoutFreshValues(node: AnyNode, facts: StatementFacts, context: NameContext): StatementFacts {
  if (facts.volatile.length === 0) return facts
  const once = calledInSubqueries(node)
  const isFresh = (name: string) => freshFunctions.has(name) && !once.has(name) && !context.snapshot.functions.has(name)
  return { ...facts, volatile: facts.volatile.filter((name) => !isFresh(name)) }
}

function calledInSubqueries(node: AnyNode): Set<string> {
  const found = new Set<string>()
  walk(node, (tree, key) => {
    if (key !== 'SelectStmt') return true
    walk(tree, (inner, innerKey) => {
      if (innerKey === 'FuncCall') found.add(names(inner.funcname as AnyNode[]).at(-1) ?? '')
    })
    return false
  })
  return found
}
