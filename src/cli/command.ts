/** A command of `pgherd`: one file of commands/ each, listed in commands.ts. */
import type { parseArgs, ParseArgsConfig } from 'node:util'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../observability/logger.ts'

export type Options = NonNullable<ParseArgsConfig['options']>

export interface Arguments<O extends Options> {
  readonly values: ReturnType<typeof parseArgs<{ options: O; strict: true }>>['values']
  /** What follows the command's name and is no option. */
  readonly words: readonly string[]
}

/** What commands have of the process that runs them. */
export interface CommandContext {
  readonly clock: Clock
  readonly log: Logger
  readonly terminal: Terminal
  /** At the first Ctrl-C, in place of what was given before. What goes on ends by itself. */
  onInterrupt(work: () => void): void
  /** At the first Ctrl-C, in place of what was given before; then the process ends, well. */
  untilInterrupted(stop: () => Promise<void>): void
}

export interface Terminal {
  /** Standard output is one, `columns` wide. */
  readonly isTerminal: boolean
  readonly columns: number
  print(line: string): void
  /** As it is: control sequences of a terminal too. */
  write(text: string): void
  /** What a person types. Undefined when nobody can: standard input is no terminal. */
  ask(question: string): Promise<string | undefined>
}

export interface Command<O extends Options = Options> {
  /** One word or several: 'status', 'shard add'. */
  readonly name: string
  /** What follows the name, for the help: its words and options. */
  readonly synopsis: string
  readonly about: string
  readonly options: O
  /** How many words follow the name. */
  readonly words?: { readonly least: number; readonly most: number }
  /** Gives the exit code where it is not 0. What it throws is told in one line, and the code is 1. */
  run(args: Arguments<O>, context: CommandContext): Promise<number | void>
}

/** Infers what the options' values are, and forgets it for the list of all commands. */
export function command<const O extends Options>(definition: Command<O>): Command {
  return definition as unknown as Command
}

export function wholeNumber(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (text.trim() === '' || !Number.isInteger(value) || value < least || value > most) throw new Error(`${name} must be a whole number from ${least} to ${most}`)
  return value
}
