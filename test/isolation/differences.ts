/** The list of differences that are known, `differences.json`, and what is wrong with it after a run. */
import fs from 'node:fs'
import { fileURLToPath } from 'node:url'

export interface Difference {
  /** The names of the steps, in order. */
  readonly permutation: string
  readonly plain: readonly string[]
  readonly cluster: readonly string[]
}

export interface Entry {
  /** The steps that went otherwise: on PostgreSQL | on the cluster. */
  readonly differs: string
  readonly permutations: readonly string[]
  readonly reason: string
}

/** By the spec and its variant. */
export type KnownDifferences = Record<string, readonly Entry[]>

const file = fileURLToPath(new URL('differences.json', import.meta.url))

export function readKnown(): KnownDifferences {
  if (!fs.existsSync(file)) return {}
  return JSON.parse(fs.readFileSync(file, 'utf8')) as KnownDifferences
}

/** Those that differ in the same way are one entry. */
export function entriesOf(found: readonly Difference[], known: readonly Entry[]): Entry[] {
  const byKind = new Map<string, string[]>()
  for (const one of found) {
    const differs = kindOf(one)
    byKind.set(differs, [...(byKind.get(differs) ?? []), one.permutation])
  }
  return [...byKind].map(([differs, permutations]) => ({ differs, permutations, reason: known.find((entry) => entry.differs === differs)?.reason ?? '' }))
}

/** One line for each difference that is not listed as it is, and for each listed one that is gone. */
export function complaints(found: readonly Difference[], known: readonly Entry[]): string[] {
  const lines: string[] = []
  const listed = new Map(known.flatMap((entry) => entry.permutations.map((permutation) => [permutation, entry] as const)))
  for (const one of found) {
    if (listed.get(one.permutation)?.differs !== kindOf(one)) lines.push(`${one.permutation}\n  PostgreSQL  ${one.plain.join('; ')}\n  cluster     ${one.cluster.join('; ')}`)
  }
  const differing = new Set(found.map(({ permutation }) => permutation))
  for (const permutation of listed.keys()) if (!differing.has(permutation)) lines.push(`${permutation} is listed and differs no more`)
  return [...lines, ...known.filter(({ reason }) => reason === '').map(({ differs }) => `no reason is given for: ${differs}`)]
}

export function writeKnown(known: KnownDifferences): void {
  const sorted = Object.entries(known).filter(([, entries]) => entries.length > 0).sort(([a], [b]) => (a < b ? -1 : 1))
  fs.writeFileSync(file, `${JSON.stringify(Object.fromEntries(sorted), undefined, 2)}\n`)
}

function kindOf({ plain, cluster }: Difference): string {
  const [expected, actual] = [byStep(plain), byStep(cluster)]
  const steps = [...new Set([...expected.keys(), ...actual.keys()])].filter((step) => expected.get(step) !== actual.get(step))
  if (steps.length === 0) return 'the order of ends'
  return steps.map((step) => `${step}: ${expected.get(step) ?? '-'} | ${actual.get(step) ?? '-'}`).join('; ')
}

function byStep(events: readonly string[]): Map<string, string> {
  return new Map(events.map((event) => [event.slice(0, event.indexOf(':')), event.slice(event.indexOf(':') + 2)]))
}
