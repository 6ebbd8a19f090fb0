import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import net from 'node:net'
import path from 'node:path'

/** Redis from the system, when there is one: npm has no package that holds it. */
export function findRedis(): string | undefined {
  for (const folder of (process.env.PATH ?? '').split(path.delimiter)) {
    for (const name of ['redis-server', 'valkey-server']) {
      const file = path.join(folder, name)
      if (fs.existsSync(file)) return file
    }
  }
  return undefined
}

const startMsMax = 10_000

export class RedisServer {
  readonly port: number
  private readonly program: string
  private readonly pidFile: string | undefined
  private child: ChildProcess | undefined

  /** With a file for its pid one that outlived its router is found, and ended, by the next start. */
  constructor(program: string, port: number, pidFile?: string) {
    this.program = program
    this.port = port
    this.pidFile = pidFile
  }

  /** Nothing is written to disk: locks are leases, and what they protect is fenced in the catalog. */
  async start(): Promise<void> {
    await this.stopLeftOver()
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    this.child = spawn(this.program, args, { stdio: 'ignore', detached: true, ...(this.pidFile === undefined ? {} : { cwd: path.dirname(this.pidFile) }) })
    this.child.once('error', () => (this.child = undefined))
    if (this.pidFile !== undefined) fs.writeFileSync(this.pidFile, `${this.child.pid ?? ''}\n${this.port}\n`)
    const end = performance.now() + startMsMax
    while (!(await this.answers())) {
      if (!this.isRunning) throw new Error(`${this.program} ended at its start`)
      if (performance.now() > end) throw new Error(`${this.program} does not accept connections`)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  private get isRunning(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  private answers(): Promise<boolean> {
    return new Promise((resolve) => {
      const socket = net.connect(this.port, '127.0.0.1')
      const done = (isThere: boolean) => {
        socket.destroy()
        resolve(isThere)
      }
      socket.once('connect', () => done(true))
      socket.once('error', () => done(false))
    })
  }

  async stop(): Promise<void> {
    const child = this.child
    if (child === undefined || !this.isRunning) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
    if (this.pidFile !== undefined) fs.rmSync(this.pidFile, { force: true })
  }

  private async stopLeftOver(): Promise<void> {
    if (this.pidFile === undefined || !fs.existsSync(this.pidFile)) return
    const [pid, port] = fs.readFileSync(this.pidFile, 'utf8').split('\n')
    // A number may have been used again for another process.
    const isOurs = () => new RegExp(`(redis|valkey)-server.*:${port}\\b`).test(commandLine(Number(pid)))
    if (isOurs()) process.kill(Number(pid), 'SIGTERM')
    while (isOurs()) await new Promise((resolve) => setTimeout(resolve, 20))
  }
}

/** As Redis itself writes it: "redis-server 127.0.0.1:6379". Empty for a process that is not there. */
function commandLine(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return ''
  }
}
