/** The list of differences that are known, `differences.json`, and what is wrong with it after a run. */
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Difference } from './run-case.ts'

export interface Entry {
  /** The first 80 characters, so that a reader (and the test) sees when numbers have shifted. */
  readonly statement: string
  readonly differs: string
  readonly reason: string
}

/** File -> statement's number -> what differs. */
export type Section = Record<string, Record<string, Entry>>

export interface KnownDifferences {
  /** Statements that the cluster refuses, and what follows from that. */
  readonly known: Section
  /** Wrong answers. This section is to become empty. */
  readonly bugs: Section
}

const file = fileURLToPath(new URL('differences.json', import.meta.url))

export function readKnown(): KnownDifferences {
  if (!fs.existsSync(file)) return { known: {}, bugs: {} }
  return JSON.parse(fs.readFileSync(file, 'utf8')) as KnownDifferences
}

/** One line for each difference that is not listed as it is, and for each listed one that is gone. */
export function complaints(list: KnownDifferences, name: string, found: readonly Difference[]): string[] {
  const lines: string[] = []
  for (const section of ['known', 'bugs'] as const) {
    const listed = list[section][name] ?? {}
    const here = new Map(found.filter((one) => sectionOf(one) === section).map((one) => [String(one.statement.number), one]))
    for (const [number, one] of here) {
      const entry = listed[number]
      if (entry !== undefined && entry.statement === head(one) && entry.differs === one.differs) continue
      lines.push(`${name}:${one.statement.line} #${number} is a ${one.kind} not listed in ${section}: ${one.differs}\n${describe(one)}`)
    }
    for (const [number, entry] of Object.entries(listed)) {
      if (!here.has(number)) lines.push(`${name} #${number} is listed in ${section} and differs no more: ${entry.statement}`)
    }
  }
  return lines
}

/** Writes the list anew for the files that ran; a reason is kept while its statement stays the same. */
export function writeKnown(list: KnownDifferences, found: ReadonlyMap<string, readonly Difference[]>): void {
  const old = new Map<string, string>()
  for (const section of [list.known, list.bugs]) {
    for (const [name, entries] of Object.entries(section)) {
      for (const entry of Object.values(entries)) old.set(`${name} ${entry.statement} ${entry.differs}`, entry.reason)
    }
  }
  const write = (section: 'known' | 'bugs'): Section => {
    const next: Section = { ...list[section] }
    for (const [name, differences] of found) {
      const entries = differences
        .filter((one) => sectionOf(one) === section)
        .map((one) => {
          const reason = old.get(`${name} ${head(one)} ${one.differs}`) ?? firstReason(one)
          return [String(one.statement.number), { statement: head(one), differs: one.differs, reason }] as const
        })
      delete next[name]
      if (entries.length > 0) next[name] = Object.fromEntries(entries)
    }
    return Object.fromEntries(Object.entries(next).sort(([a], [b]) => (a < b ? -1 : 1)))
  }
  fs.writeFileSync(file, `${JSON.stringify({ known: write('known'), bugs: write('bugs') }, undefined, 2)}\n`)
}

const sectionOf = (one: Difference) => (one.kind === 'bug' ? 'bugs' : 'known')

const head = (one: Difference) => one.statement.sql.slice(0, 80)

/** The cluster's own words say why it refuses; people may write a better reason in their place. */
function firstReason(one: Difference): string {
  if (one.kind === 'consequence') return 'follows from a statement refused before'
  if (one.kind === 'refusal') return `refused: ${one.actual.error?.message ?? ''}`
  return describe(one)
}

/** Both answers, shortened. */
function describe(one: Difference): string {
  return `PostgreSQL: ${summary(one.expected)}; cluster: ${summary(one.actual)}`
}

function summary({ error, tags, columns, rows, status }: Difference['expected']): string {
  if (error !== undefined) return `${error.sqlstate} ${error.message} [${status}]`
  const names = columns?.map((column) => `${column.name}:${column.typeOid}`).join(' ') ?? ''
  const lines = JSON.stringify(rows)
  return `${tags.join(', ')} (${names}) ${lines.length > 400 ? `${lines.slice(0, 400)}...` : lines} [${status}]`
}
