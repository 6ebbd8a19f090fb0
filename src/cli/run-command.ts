/** Finds the command that the arguments name, reads its options, and runs it. */
import { parseArgs } from 'node:util'
import { consoleLogger } from '../observability/logger.ts'
import type { Command, CommandContext } from './command.ts'

const common = { verbose: { type: 'boolean' }, help: { type: 'boolean', short: 'h' } } as const

/** Gives the exit code. Throws what went wrong, to be told in one line. */
export async function runCommand(commands: readonly Command[], argv: readonly string[], parts: Omit<CommandContext, 'log'>): Promise<number> {
  const names = argv.slice(0, argv.findIndex((word) => word.startsWith('-')) < 0 ? undefined : argv.findIndex((word) => word.startsWith('-')))
  if (names.length === 0) {
    if (argv.some((word) => word !== '--help' && word !== '-h')) throw new Error('name a command first (see pgherd --help)')
    parts.terminal.print(commands.map(helpOf).join('\n'))
    return 0
  }
  const found = commands.find(({ name }) => name.split(' ').every((word, i) => names[i] === word))
  if (found === undefined) throw new Error(unknown(commands, names))
  const { values, positionals } = parseArgs({ args: argv.slice(found.name.split(' ').length), options: { ...found.options, ...common }, allowPositionals: true })
  if (values.help === true) {
    parts.terminal.print(helpOf(found))
    return 0
  }
  const { least, most } = found.words ?? { least: 0, most: 0 }
  if (positionals.length < least || positionals.length > most) throw new Error(`it is: pgherd ${found.name} ${found.synopsis.replace(/\s+/g, ' ')}`)
  return (await found.run({ values, words: positionals }, { ...parts, log: consoleLogger(values.verbose === true ? 'debug' : 'info') })) ?? 0
}

function helpOf({ name, synopsis, about }: Command): string {
  const indent = ' '.repeat(16)
  return [`pgherd ${name.padEnd(8)} ${synopsis.replaceAll('\n', `\n${indent}`)}`.trimEnd(), ...about.split('\n').map((line) => indent + line)].join('\n')
}

function unknown(commands: readonly Command[], names: readonly string[]): string {
  const first = names[0] ?? ''
  const several = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name)
  if (several.length > 0) return `${first} is one of: ${several.join(', ')} (see pgherd --help)`
  return `unknown command ${first} (see pgherd --help)`
}
