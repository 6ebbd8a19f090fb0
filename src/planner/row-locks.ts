/**
 * FOR UPDATE and its kin on rows of reference tables, of which every server has a copy. Writers and foreign keys meet a lock on the copy of
 * any shard; two lockers meet only where both lock the same copy. So strong locks are taken on all copies, and weak ones on any.
 */
import { refuse } from '../base/errors.ts'
import type { AnyNode, RangeVar } from '../sql/ast.ts'
import { walk } from '../sql/ast.ts'
import type { StatementFacts } from './facts.ts'

interface LockingClause {
  readonly strength?: string
  readonly waitPolicy?: string
  readonly lockedRels?: readonly AnyNode[]
}

const strong: readonly (string | undefined)[] = ['LCS_FORUPDATE', 'LCS_FORNOKEYUPDATE']

/** Throws for a statement that runs on some shards and would lock a reference table's rows there alone. */
export function refuseLocksOfCopies(node: AnyNode, facts: StatementFacts): void {
  if (!facts.locking) return
  const copied = facts.tables.filter((use) => use.relation.table?.kind === 'reference')
  if (copied.length === 0) return
  const locked = stronglyLocked(node)
  const first = copied.find((use) => locked.has(use.rangeVar))
  if (first === undefined) return
  throw refuse(`cannot lock rows of reference table "${first.relation.name}" in a join with tables on shards`, 'Name the tables to lock with FOR UPDATE OF, and lock its rows in a SELECT of its own.')
}

/** Whether each server locks the same rows when it runs the statement over its copies. */
export function locksSameRowsEverywhere(node: AnyNode): boolean {
  const { SelectStmt } = node
  const clauses = clausesOf((SelectStmt ?? {}) as Record<string, unknown>)
  return SelectStmt !== undefined && SelectStmt.limitCount === undefined && SelectStmt.limitOffset === undefined && clauses.length > 0 && clauses.every((clause) => strong.includes(clause.strength) && clause.waitPolicy !== 'LockWaitSkip')
}

function clausesOf(select: Record<string, unknown>): LockingClause[] {
  return ((select.lockingClause ?? []) as { LockingClause?: LockingClause }[]).flatMap((item) => item.LockingClause ?? [])
}

function stronglyLocked(node: AnyNode): ReadonlySet<unknown> {
  const locked = new Set<unknown>()
  walk(node, (tree) => {
    for (const clause of clausesOf(tree)) {
      if (!strong.includes(clause.strength)) continue
      const names = clause.lockedRels?.map((item) => item.RangeVar?.relname ?? '')
      noteTables(tree.fromClause, names, locked)
    }
  })
  return locked
}

/** The tables of a FROM clause that FOR UPDATE locks: those in the named items, or all. */
function noteTables(from: unknown, names: readonly string[] | undefined, locked: Set<unknown>): void {
  walk(from, (tree, key) => {
    const alias = (tree.alias as { aliasname?: string } | undefined)?.aliasname
    if (typeof tree.relname === 'string' && typeof tree.relpersistence === 'string') {
      if (names === undefined || names.includes(alias ?? (tree as RangeVar).relname ?? '')) locked.add(tree)
    } else if (key === 'RangeSubselect' && names !== undefined) {
      if (alias !== undefined && names.includes(alias)) noteTables(tree.subquery, undefined, locked)
      return false
    }
    return undefined
  })
}
