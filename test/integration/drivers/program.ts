/**
 * Drivers of other languages: a small program each, with checks by name; one must end well and say nothing.
 *
 * A program is built by its language's own package manager, its versions pinned, into node_modules/.cache. Where the language
 * or its packages cannot be had, the checks are skipped and say why; a program that does not compile is a failure.
 */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, inject, test } from 'vitest'
import { createDatabase } from '../../support/databases.ts'

export interface Program {
  readonly command: string
  readonly args: readonly string[]
}

export interface Missing {
  readonly missing: string
}

const root = path.join(import.meta.dirname, '../../..')

/** A folder of the program's own, kept between runs. */
export function cacheFolder(name: string): string {
  const folder = path.join(root, 'node_modules/.cache/pgherd', name)
  fs.mkdirSync(folder, { recursive: true })
  return folder
}

export const sourceFolder = (name: string): string => path.join(import.meta.dirname, '..', name)

/** What the command said, and whether it ended well; a command that is not there did not. */
export function run(command: string, args: readonly string[], cwd: string): Promise<{ ok: boolean; output: string }> {
  return new Promise((resolve) => {
    const child = spawn(command, args, { cwd })
    let output = ''
    const collect = (chunk: string) => (output += chunk)
    child.stdout.setEncoding('utf8').on('data', collect)
    child.stderr.setEncoding('utf8').on('data', collect)
    child.once('error', (error) => resolve({ ok: false, output: error.message }))
    child.once('close', (code) => resolve({ ok: code === 0, output }))
  })
}

/** Runs steps that need a tool or the network; the first that fails is why the program cannot be had. */
export async function requireSteps(cwd: string, steps: readonly (readonly string[])[]): Promise<Missing | undefined> {
  for (const [command = '', ...args] of steps) {
    const { ok, output } = await run(command, args, cwd)
    if (!ok) return { missing: `${command} ${args[0] ?? ''}: ${output.trim().split('\n').at(-1)}` }
  }
  return undefined
}

/** One test for each check; `target` gives what the program is told of the server. */
export function testProgram(name: string, program: Program | Missing, checks: readonly string[], target: (port: number, database: string) => string): void {
  const title = 'missing' in program ? `${name} (skipped: ${program.missing})` : name
  describe.skipIf('missing' in program)(title, () => {
    let database: Promise<string> | undefined

    test.each(checks)('%s', async (check) => {
      if ('missing' in program) return
      const port = inject('clusterPort')
      database ??= createDatabase(port, 'drivers')
      const { ok, output } = await run(program.command, [...program.args, check, target(port, await database)], root)
      expect(output).toBe('')
      expect(ok).toBe(true)
    })
  })
}

/** The names of the checks, as the program's source lists them. */
export function checksIn(file: string, pattern: RegExp): string[] {
  const found = [...fs.readFileSync(file, 'utf8').matchAll(pattern)].map(([, name]) => name ?? '')
  if (found.length === 0) throw new Error(`${file} has no checks`)
  return found
}
