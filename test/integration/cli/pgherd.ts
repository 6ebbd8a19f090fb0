/** `pgherd` as its users run it: a process of its own, without a terminal. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../..', import.meta.url))

export interface Outcome {
  readonly code: number | null
  readonly out: string
  readonly errors: string
}

export class Pgherd {
  readonly child: ChildProcess
  readonly outcome: Promise<Outcome>
  out = ''
  errors = ''

  constructor(...args: readonly string[]) {
    this.child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts', ...args], { cwd: root, stdio: ['ignore', 'pipe', 'pipe'] })
    this.child.stdout?.on('data', (chunk: Buffer) => (this.out += chunk.toString()))
    this.child.stderr?.on('data', (chunk: Buffer) => (this.errors += chunk.toString()))
    this.outcome = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code) => resolve({ code, out: this.out, errors: this.errors }))
    })
  }
}

export const pgherd = (...args: readonly string[]): Promise<Outcome> => new Pgherd(...args).outcome
