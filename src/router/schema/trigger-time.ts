/**
 * A trigger's function as shards have it: where it asks for the transaction's time it asks pgherd.now(), since on one of
 * several shards now() is when the transaction came there. The shell keeps the function as it was written.
 */
import { refuse } from '../../base/errors.ts'
import { nextToken, tokensWithDepth } from '../../sql/scanner.ts'
import type { Edit } from '../../sql/source-text.ts'
import { SourceText } from '../../sql/source-text.ts'

const types: Readonly<Record<string, string>> = {
  current_timestamp: 'timestamptz',
  current_date: 'date',
  current_time: 'timetz',
  localtimestamp: 'timestamp',
  localtime: 'time',
}

/** `definition` as pg_get_functiondef gives it. */
export function forShards(definition: string): string {
  const parts = /^([\s\S]*?\bAS (\$function\d*\$))([\s\S]*)(\$function\d*\$\s*)$/.exec(definition)
  if (parts === null) return definition
  return `${parts[1]}${withOwnTime(parts[3] ?? '')}${parts[4]}`
}

function withOwnTime(body: string): string {
  const source = new SourceText(body)
  const { raw } = source
  const edits: Edit[] = []
  let before: { text: string; start: number; kind: string } | undefined
  let beforeThat: typeof before
  for (const token of tokensWithDepth(raw)) {
    const word = token.kind === 'word' ? token.text.toLowerCase() : ''
    const isPart = before?.text === '.'
    const start = isPart && beforeThat?.text.toLowerCase() === 'pg_catalog' ? beforeThat.start : token.start
    const open = nextToken(raw, token.end)
    const isCall = open !== undefined && raw[open.start] === '('
    if ((word === 'now' || word === 'transaction_timestamp') && isCall && (!isPart || start !== token.start)) {
      edits.push({ start, end: token.end, text: 'pgherd.now' })
    } else if (types[word] !== undefined && !isPart) {
      const close = isCall ? raw.indexOf(')', token.end) + 1 : token.end
      const precision = isCall ? raw.slice(open.start, close) : ''
      edits.push({ start: token.start, end: close, text: `(pgherd.now()::${types[word]}${precision})` })
    } else if (word === 'age' && isCall) throw refuse('a trigger cannot call age: it may count from the current date', 'Subtract from now().')
    else if (token.kind === 'string' && /^'\s*(now|today|yesterday|tomorrow)\s*'$/i.test(token.text)) {
      throw refuse(`a trigger cannot read the time from ${token.text}`, 'Call now().')
    }
    beforeThat = before
    before = token
  }
  return source.edited(edits)
}
