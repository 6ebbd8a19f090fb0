import type { StatementEnd } from './statement-exchange.ts'

/** The number of rows in a command tag: its last word. */
export function tagCount(end: StatementEnd): number {
  return end.kind === 'complete' ? Number(end.tag.split(' ').at(-1)) : 0
}
