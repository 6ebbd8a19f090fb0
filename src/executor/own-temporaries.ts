/**
 * A gather's temporary tables under other names, so that a later gather leaves alone what a portal or cursor still reads.
 *
 * A plan's text names a table as pg_temp.NAME, and gives NAME as a string to functions of schema pgherd. Nothing else in it is the
 * planner's: the same words in the user's own strings and names stay.
 */
import type { Fetch } from '../planner/plan.ts'
import { nextToken } from '../sql/scanner.ts'
import type { Edit } from '../sql/source-text.ts'
import { SourceText } from '../sql/source-text.ts'

const plannedPrefix = 'pgherd_g'
/** Columns of these are called by the table's name (planner/push-down.ts). */
const calledByName = 'pgherd_gq'

/** A plan's fetches and text, their temporary tables named anew. */
export function withOwnNames<F extends Pick<Fetch, 'temporary'>>(fetches: readonly F[], text: string, prefix: string): { fetches: readonly F[]; text: string } {
  const ownName = (temporary: string) => prefix + temporary.slice(plannedPrefix.length)
  const temporaries = fetches.map(({ temporary }) => temporary)
  const source = new SourceText(text)
  const { raw } = source
  const edits: Edit[] = []
  const before: string[] = []
  for (let token = nextToken(raw, 0); token !== undefined; token = nextToken(raw, token.end)) {
    const { kind, start, end } = token
    const word = raw.slice(start, end)
    const name = kind === 'string' ? word.slice(1, -1) : word
    if (temporaries.includes(name)) {
      const isTable = kind === 'word' && before.slice(-2).join('') === 'pg_temp.'
      const isArgument = kind === 'string' && /^pgherd\.\w+\($/.test(before.slice(-4).join(''))
      const own = ownName(name)
      if (isTable) edits.push({ start, end, text: name.startsWith(calledByName) ? `${own} AS ${name}` : own })
      else if (isArgument) edits.push({ start, end, text: `'${own}'` })
    }
    before.push(word)
    if (before.length > 4) before.shift()
  }
  return { fetches: fetches.map((fetch) => ({ ...fetch, temporary: ownName(fetch.temporary) })), text: source.edited(edits) }
}
