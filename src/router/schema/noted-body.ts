/** A PL/pgSQL body that notes, before each statement that is not about data, the statement's text. */
import { refuse } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import { parseStatements } from '../../sql/parse.ts'
import { tagOf } from '../../sql/ast.ts'
import type { Edit } from '../../sql/source-text.ts'
import { SourceText } from '../../sql/source-text.ts'
import { tokensWithDepth } from '../../sql/scanner.ts'
import type { PlpgsqlBody } from './plpgsql-body.ts'
import { asFunction, readPlpgsql } from './plpgsql-body.ts'

/** The texts that ran, as JSON; what PL/pgSQL undoes leaves it again. */
export const notesSetting = 'pgherd.noted'
const notice = 'pgherd_noted '

/** INFO goes to the client whatever client_min_messages says, and stays said when the statement is undone. */
export const noteFunction = `CREATE FUNCTION pg_temp.pgherd_noted(statement text) RETURNS text LANGUAGE plpgsql AS $pgherd$ BEGIN
  RAISE INFO '%', '${notice}' || statement;
  PERFORM pg_catalog.set_config('${notesSetting}', (pg_catalog.current_setting('${notesSetting}')::jsonb || pg_catalog.to_jsonb(statement))::text, true);
  RETURN statement;
END $pgherd$`

/** The text that a message of noteFunction carries. */
export function notedText(message: string): string | undefined {
  return message.startsWith(notice) ? message.slice(notice.length) : undefined
}

export function notedBody(text: string, body: PlpgsqlBody): string {
  const source = new SourceText(text)
  const bytes = (part: string) => Buffer.from(part).toString('latin1')
  const lineStarts = [0]
  for (let at = source.raw.indexOf('\n'); at >= 0; at = source.raw.indexOf('\n', at + 1)) lineStarts.push(at + 1)
  // Not in a comment or a string: those are no tokens, or one.
  const tokenStarts = new Set([...tokensWithDepth(source.raw)].map((token) => token.start))
  const place = (part: string, from: number) => {
    let at = source.raw.indexOf(part, from)
    while (at >= 0 && !tokenStarts.has(at)) at = source.raw.indexOf(part, at + 1)
    return at
  }
  const edits: Edit[] = []
  const taken = new Map<string, number>()
  let statics = 0
  let dynamics = 0
  for (const { kind, text: part, line } of body.statements) {
    if (kind === 'static' && isQuery(part)) continue
    const key = `${line} ${part}`
    const start = place(bytes(part), taken.get(key) ?? lineStarts[line - 1] ?? 0)
    if (start < 0) throw unread()
    const end = start + bytes(part).length
    taken.set(key, end)
    if (kind === 'static') {
      statics++
      edits.push({ start, end: start, text: `IF pg_temp.pgherd_noted(${quoteLiteral(part)}) IS NULL THEN END IF; ` })
    } else {
      dynamics++
      edits.push({ start, end, text: `pg_temp.pgherd_noted((${part})::text)` })
    }
  }
  const noted = source.edited(edits)
  // A place that was not the statement's would show here: as much more IF, as many statements, and EXECUTE of noted texts alone.
  const again = readAgain(noted)
  const same = (kind: 'static' | 'dynamic') => again.statements.filter((one) => one.kind === kind).length === body.statements.filter((one) => one.kind === kind).length
  const noting = again.statements.filter((one) => one.kind === 'dynamic' && one.text.startsWith('pg_temp.pgherd_noted(')).length
  if (again.ifs !== body.ifs + statics || noting !== dynamics || !same('static') || !same('dynamic')) throw unread()
  return noted
}

function readAgain(noted: string): PlpgsqlBody {
  try {
    return readPlpgsql(asFunction(noted))
  } catch {
    throw unread()
  }
}

const isQuery = (text: string) => parseStatements(text).every(({ node }) => /^(Select|Insert|Update|Delete|Merge|Call)Stmt$/.test(tagOf(node)))

const unread = () => refuse('the block could not be read', 'Send its statements themselves.')
