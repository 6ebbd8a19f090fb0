import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
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

export class RedisServer {
  readonly port: number
  private readonly program: string
  private child: ChildProcess | undefined

  constructor(program: string, port: number) {
    this.program = program
    this.port = port
  }

  /** Nothing is written to disk: locks are leases, and what they protect is fenced in the catalog. */
  start(): void {
    const args = ['--port', String(this.port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no']
    this.child = spawn(this.program, args, { stdio: 'ignore', detached: true })
    this.child.once('error', () => (this.child = undefined))
  }

  async stop(): Promise<void> {
    const child = this.child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGTERM')
    await ended
  }
}
