/**
 * What PostgreSQL tells of its backends a router tells of its clients' sessions: a session is no server process, it only borrows
 * connections. Its number is the one that the client got when it logged in.
 *
 *   pg_backend_pid()     ->   pgherd.pg_backend_pid(), where the executor puts the number in
 *   pg_stat_activity a   ->   (SELECT * FROM pgherd.activity('pgherd_gsessions')) AS a
 */
import type { AnyNode } from '../sql/ast.ts'
import { names, walk } from '../sql/ast.ts'
import { nameEnd, nextToken, tokensWithDepth } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'

const sessionPidHole = 'pgherd.pg_backend_pid()'

export function sessionPidEdits(source: SourceText, node: AnyNode): Edit[] {
  const edits: Edit[] = []
  walk(node, (tree, key) => {
    if (key !== 'FuncCall') return
    const parts = names(tree.funcname as AnyNode[])
    if (parts.at(-1) !== 'pg_backend_pid' || (parts.length > 1 && parts[0] !== 'pg_catalog') || tree.args !== undefined) return
    const start = (tree.location as number | undefined) ?? 0
    edits.push({ start, end: callEnd(source.raw, nameEnd(source.raw, start)), text: sessionPidHole })
  })
  return edits
}

/** A text with the number of the session that runs it. The same words in the user's own strings and names stay. */
export function withSessionPid(text: string, pid: number): string {
  if (!text.includes(sessionPidHole)) return text
  const source = new SourceText(text)
  const { raw } = source
  const edits: Edit[] = []
  for (let token = nextToken(raw, 0); token !== undefined; token = nextToken(raw, token.end)) {
    const { kind, start } = token
    if (kind === 'word' && raw.startsWith(sessionPidHole, start)) edits.push({ start, end: start + sessionPidHole.length, text: sessionPidHole.replace('()', `(${pid})`) })
  }
  return source.edited(edits)
}

/** Behind the parenthesis that closes a call's arguments. */
export function callEnd(raw: string, from: number): number {
  for (const token of tokensWithDepth(raw, from)) if (token.depth === 0 && token.text === ')') return token.end
  return from
}

const views: Readonly<Record<string, string>> = { pg_stat_activity: 'activity', pg_locks: 'locks' }

/** What stands for one of the system's views of backends; undefined for any other relation. */
export function sessionView(name: string): string | undefined {
  const view = Object.hasOwn(views, name) ? views[name] : undefined
  return view === undefined ? undefined : `(SELECT * FROM pgherd.${view}('pgherd_gsessions'))`
}
