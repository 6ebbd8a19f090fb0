/**
 * A key as PostgreSQL stores it: varchar(n) drops spaces past its length without a word, before the row finds its partition.
 */
import type { KeySource } from '../planner/plan.ts'
import type { Arguments } from './context.ts'

export function storedText(text: string, type: string): string {
  const most = Number(/^character varying\((\d+)\)$/.exec(type)?.[1] ?? Number.POSITIVE_INFINITY)
  const characters = [...text]
  return characters.length > most && characters.slice(most).every((one) => one === ' ') ? characters.slice(0, most).join('') : text
}

/** The same for a value that may be a parameter; text and varchar are the same bytes in both formats. */
export function storedKey(source: KeySource, type: string, args: Arguments): KeySource {
  if (!type.startsWith('character varying(') || source.kind === 'null') return source
  const text = source.kind === 'constant' ? source.text : args.bind.values[source.number - 1]?.toString()
  return text === undefined ? source : { kind: 'constant', text: storedText(text, type) }
}
