/** A cluster whose router is a process by itself: its memory can be looked at, and a crash of it would be seen. */
import { spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

export interface RouterProcess {
  readonly port: number
  /** The servers behind it, to be asked directly what they are doing. */
  readonly catalogPort: number
  readonly shardPorts: readonly number[]
  /** Of the router alone; PostgreSQL's servers are other processes. */
  residentBytes(): number
  readonly isRunning: boolean
  stop(): Promise<void>
}

const main = fileURLToPath(new URL('../../../src/main.ts', import.meta.url))

export async function startRouterProcess(shards: number): Promise<RouterProcess> {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-hostile-'))
  fs.chmodSync(dataDir, 0o755) // PostgreSQL may run as another user
  const args = ['dev', '--data-dir', dataDir, '--port', '0', '--shards', String(shards), '--replicas', '0']
  const child = spawn(process.execPath, ['--import', 'tsx', main, ...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()))
  let said = ''
  const port = await new Promise<number>((resolve, reject) => {
    const listen = (chunk: string) => {
      said += chunk
      const ready = /is ready: .* -p (\d+)/.exec(said)
      if (ready !== null) resolve(Number(ready[1]))
    }
    child.stdout.setEncoding('utf8').on('data', listen)
    child.stderr.setEncoding('utf8').on('data', listen)
    child.once('exit', () => reject(new Error(`the router did not start: ${said}`)))
  })
  const layout = JSON.parse(fs.readFileSync(path.join(dataDir, 'cluster.json'), 'utf8')) as { catalogPort: number; shards: { port: number }[] }
  return {
    port,
    catalogPort: layout.catalogPort,
    shardPorts: layout.shards.map((shard) => shard.port),
    residentBytes: () => Number(/^VmRSS:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${child.pid}/status`, 'utf8'))?.[1]) * 1024,
    get isRunning() {
      return child.exitCode === null && child.signalCode === null
    },
    async stop() {
      child.kill('SIGINT')
      await ended
      fs.rmSync(dataDir, { recursive: true, force: true })
    },
  }
}
