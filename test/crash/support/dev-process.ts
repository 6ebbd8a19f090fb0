/** `pgherd dev` as its users run it: a process of its own, with what it prints. */
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { until } from './until.ts'

const root = fileURLToPath(new URL('../../..', import.meta.url))

export interface Identity {
  readonly uid?: number
  readonly gid?: number
  readonly env?: Readonly<Record<string, string>>
  /** What is run, where it is not pgherd's own command line. */
  readonly script?: string
}

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** What it printed to standard error, without its lines of progress. */
  readonly complaints: readonly string[]
}

export class DevProcess {
  private readonly child: ChildProcess
  private out = ''
  private errors = ''
  private readonly ended: Promise<Ended>

  constructor(args: readonly string[], identity: Identity = {}) {
    const { env, script = 'src/main.ts', ...user } = identity
    this.child = spawn(process.execPath, ['--import', 'tsx', script, ...args], {
      ...user,
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.on('data', (chunk: Buffer) => (this.out += chunk.toString()))
    this.child.stderr?.on('data', (chunk: Buffer) => (this.errors += chunk.toString()))
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code, signal) => resolve({ code, signal, complaints: this.complaints }))
    })
    this.ended.catch(() => undefined) // told to whoever waits for it
  }

  get pid(): number {
    return this.child.pid ?? 0
  }

  get hasEnded(): boolean {
    return this.child.exitCode !== null || this.child.signalCode !== null
  }

  get progress(): string {
    return this.errors
  }

  private get complaints(): string[] {
    return this.errors.split('\n').filter((line) => line !== '' && !line.startsWith('pgherd info: '))
  }

  /** Waits until it says that it is ready, and gives the port that it serves. */
  async ready(): Promise<number> {
    const port = () => /ready: .* -p (\d+)/.exec(this.out)?.[1]
    await until('pgherd dev is ready', () => {
      if (this.hasEnded) return true
      return port() !== undefined
    }, 90_000)
    if (port() === undefined) throw new Error(`pgherd dev ended: ${this.errors}`)
    return Number(port())
  }

  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** How it ended. Throws when it still runs after a while. */
  async end(msMax = 60_000): Promise<Ended> {
    await until('pgherd dev has ended', () => this.hasEnded, msMax)
    return this.ended
  }

  async interrupt(msMax?: number): Promise<Ended> {
    this.kill('SIGINT')
    return this.end(msMax)
  }
}

/** mkdtemp makes a folder for its owner alone, and PostgreSQL may run as another user. */
export function makeDataDir(): string {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-crash-'))
  fs.chmodSync(folder, 0o755)
  return folder
}

export function devArguments(dataDir: string, port: number, more: readonly string[] = []): string[] {
  return ['dev', '--data-dir', dataDir, '--port', String(port), '--shards', '2', '--replicas', '0', ...more]
}
