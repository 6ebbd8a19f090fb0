#!/usr/bin/env node
/** The command line: what commands have of the process, and how it ends. */
import { createInterface } from 'node:readline/promises'
import { realClock } from './base/clock.ts'
import type { Terminal } from './cli/command.ts'
import { commands } from './cli/commands.ts'
import { runCommand } from './cli/run-command.ts'

const { stdin, stdout, stderr } = process

const terminal: Terminal = {
  get isTerminal() {
    return stdout.isTTY
  },
  get columns() {
    return stdout.columns > 0 ? stdout.columns : 80 // some terminals do not say
  },
  print: (line) => void stdout.write(`${line}\n`),
  write: (text) => void stdout.write(text),
  async ask(question) {
    if (!stdin.isTTY) return undefined
    const lines = createInterface({ input: stdin, output: stdout })
    try {
      return await lines.question(question)
    } finally {
      lines.close()
    }
  },
}

let interrupt: () => void = () => process.exit(130)
let wasInterrupted = false

function onSignal(): void {
  if (wasInterrupted) process.exit(1) // a second Ctrl-C does not wait
  wasInterrupted = true
  interrupt()
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, onSignal)

function fail(error: Error & { code?: string; hint?: string }): never {
  const message =
    error.code === 'EADDRINUSE' ? 'the port is taken: choose another with --port' : error.code === 'ENOSPC' ? 'the disk is full' : error.message
  stderr.write(`pgherd: ${message}\n${error.hint === undefined ? '' : `hint: ${error.hint}\n`}`)
  process.exit(1)
}

runCommand(commands, process.argv.slice(2), {
  clock: realClock,
  terminal,
  onInterrupt: (work) => (interrupt = work),
  untilInterrupted(stop) {
    interrupt = () => void stop().then(() => process.exit(0), fail)
    if (wasInterrupted) interrupt()
  },
}).then((code) => (process.exitCode = code), fail)
