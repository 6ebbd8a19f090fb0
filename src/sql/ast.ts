/** PostgreSQL's own parse tree, as libpg-query gives it: each node an object with one key, its tag. */
import type * as pg from '@pgsql/types'

type KeysOf<T> = T extends unknown ? keyof T : never
type ValueOf<T, K> = T extends unknown ? (K extends keyof T ? T[K] : never) : never

/** Any node: exactly one of its tags is set. */
export type AnyNode = { readonly [K in KeysOf<pg.Node>]?: ValueOf<pg.Node, K> }
export type NodeTag = KeysOf<pg.Node>

export type {
  A_Const,
  A_Expr,
  AlterTableStmt,
  ColumnRef,
  CopyStmt,
  CreateStmt,
  CreateTableAsStmt,
  DeleteStmt,
  DropStmt,
  FuncCall,
  GrantStmt,
  IndexStmt,
  InsertStmt,
  JoinExpr,
  MergeStmt,
  RangeVar,
  SelectStmt,
  SubLink,
  TransactionStmt,
  TypeCast,
  UpdateStmt,
  VariableSetStmt,
  WithClause,
} from '@pgsql/types'

export function tagOf(node: AnyNode): NodeTag {
  return Object.keys(node)[0] as NodeTag
}

/** The INTO of a SELECT, which in a set operation stands in its first part. */
export function intoOf(select: pg.SelectStmt | undefined): pg.IntoClause | undefined {
  for (let one = select; one !== undefined; one = one.larg) if (one.intoClause !== undefined) return one.intoClause
  return undefined
}

/** The strings of a list of String nodes: a qualified name. */
export function names(list: readonly AnyNode[] | undefined): string[] {
  return (list ?? []).map((node) => node.String?.sval ?? '')
}

/** What stands in a tree, as far as a walk over all of it is concerned. */
export type Tree = { readonly [key: string]: unknown }

export function isTree(value: unknown): value is Tree {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** (a, b) = (SELECT ...): each column's assignment holds the whole SELECT, which stands in the text once. */
export function isRepetition(tree: Tree, key: string): boolean {
  return key === 'MultiAssignRef' && tree.colno !== 1
}

/** Calls `visit` for every object of the tree with the key it stands under, outermost first; false skips its inside. */
export function walk(value: unknown, visit: (tree: Tree, key: string) => boolean | void, key = ''): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, visit, key)
  } else if (isTree(value)) {
    if (isRepetition(value, key) || visit(value, key) === false) return
    for (const [name, child] of Object.entries(value)) {
      if (typeof child === 'object') walk(child, visit, name)
    }
  }
}

/** True when a node with one of these tags stands anywhere in the tree. */
export function contains(value: unknown, ...tags: NodeTag[]): boolean {
  let found = false
  walk(value, (tree, key) => {
    if ((tags as string[]).includes(key)) found = true
    return !found && !Object.keys(tree).some((name) => (tags as string[]).includes(name) && ((found = true), true))
  })
  return found
}
