/**
 * Reads a spec: sessions of named steps. A word at the start of a line opens a section; what belongs to it is indented, and a
 * line that is indented further goes on with the one above. `#` begins a comment.
 *
 *   keys x y                     {x} and {y} are keys: on one shard in one variant, on different shards in another
 *   levels read committed, ...   {level} is each of them in turn
 *   victims any                  which session a deadlock ends is left open: that it ends one, and all go on, is the same
 *   tables                       statements, once
 *   setup                        statements, before each permutation
 *   teardown                     statements, once at the end
 *   session s1                   lines `name: statement`; the names connect (once), setup and teardown (each permutation) are no steps
 *   permutations                 lines of steps' names; without it, all interleavings of the sessions
 */

export interface Step {
  readonly name: string
  readonly session: string
  readonly sql: string
}

export interface SpecSession {
  readonly name: string
  readonly connect: readonly string[]
  readonly setup: readonly string[]
  readonly teardown: readonly string[]
  readonly steps: readonly Step[]
}

export interface Spec {
  readonly name: string
  readonly keys: readonly string[]
  readonly levels: readonly string[]
  readonly anyVictim: boolean
  readonly tables: readonly string[]
  readonly setup: readonly string[]
  readonly teardown: readonly string[]
  readonly sessions: readonly SpecSession[]
  readonly permutations: readonly (readonly Step[])[]
}

interface Section {
  readonly word: string
  readonly rest: string
  readonly lines: string[]
}

const aroundSteps = ['connect', 'setup', 'teardown']
const words = ['keys', 'levels', 'victims', 'tables', 'setup', 'teardown', 'session', 'permutations']

/** Throws when a word, a step or a session is not known. */
export function parseSpec(name: string, text: string): Spec {
  const sections = readSections(name, text)
  const linesOf = (word: string) => sections.filter((section) => section.word === word).flatMap((section) => section.lines)
  const headOf = (word: string) => sections.find((section) => section.word === word)?.rest ?? ''
  const sessions = sections.filter((section) => section.word === 'session').map((section) => readSession(name, section))
  const steps = new Map(sessions.flatMap((session) => session.steps.map((step) => [step.name, step] as const)))
  if (steps.size === 0 || steps.size < sessions.reduce((sum, session) => sum + session.steps.length, 0)) throw new Error(`${name}: no steps, or two of one name`)
  const permutations = linesOf('permutations').map((line) =>
    line.split(/\s+/).map((word) => {
      const step = steps.get(word)
      if (step === undefined) throw new Error(`${name}: no step ${word}`)
      return step
    }),
  )
  return {
    name,
    keys: headOf('keys').split(/\s+/).filter((key) => key !== ''),
    levels: headOf('levels').split(',').map((level) => level.trim()).filter((level) => level !== ''),
    anyVictim: headOf('victims') === 'any',
    tables: linesOf('tables'),
    setup: linesOf('setup'),
    teardown: linesOf('teardown'),
    sessions,
    permutations: permutations.length > 0 ? permutations : interleavings(sessions.map((session) => session.steps)),
  }
}

function readSections(name: string, text: string): Section[] {
  const sections: Section[] = []
  let indentOfLine = 0
  for (const raw of text.split('\n')) {
    const line = raw.replace(/(^|\s)#.*$/, '').trimEnd()
    if (line === '') continue
    const indent = line.search(/\S/)
    const last = sections.at(-1)
    if (indent === 0) {
      const [, word = '', rest = ''] = /^(\S+)\s*(.*)$/.exec(line) ?? []
      if (!words.includes(word)) throw new Error(`${name}: no section ${word}`)
      sections.push({ word, rest, lines: [] })
      indentOfLine = Infinity
    } else if (last === undefined) throw new Error(`${name}: no section for: ${line}`)
    else if (indent > indentOfLine) last.lines.push(`${last.lines.pop() ?? ''}\n${line.trim()}`)
    else {
      last.lines.push(line.trim())
      indentOfLine = indent
    }
  }
  return sections
}

function readSession(name: string, { rest, lines }: Section): SpecSession {
  const named = lines.map((line) => {
    const found = /^(\w+): ([\s\S]+)$/.exec(line)
    if (found === null) throw new Error(`${name}: no name for: ${line}`)
    return { name: found[1] ?? '', session: rest, sql: found[2] ?? '' }
  })
  const textsOf = (word: string) => named.filter((one) => one.name === word).map((one) => one.sql)
  return { name: rest, connect: textsOf('connect'), setup: textsOf('setup'), teardown: textsOf('teardown'), steps: named.filter((one) => !aroundSteps.includes(one.name)) }
}

/** All orders in which the steps can run, where those of one session keep theirs. */
export function interleavings<T>(lists: readonly (readonly T[])[]): T[][] {
  if (lists.every((list) => list.length === 0)) return [[]]
  return lists.flatMap((list, i) => {
    const [first] = list
    if (first === undefined) return []
    return interleavings(lists.map((other, j) => (i === j ? other.slice(1) : other))).map((rest) => [first, ...rest])
  })
}
