/**
 * Compares pgherd with direct PostgreSQL and PgBouncer (transaction mode) by `pgbench -S`, in interleaved rounds.
 *
 * Machines are noisy, so every ratio is taken within one round, and medians of ratios are printed. PgBouncer before 1.21 has no
 * prepared statements in transaction mode: there it is left out of that protocol.
 */
import { execFile, execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { parseArgs, promisify } from 'node:util'
import { realClock } from '../src/base/clock.ts'
import { startDev } from '../src/cli/dev.ts'
import { freePort } from '../src/embedded/free-port.ts'
import { consoleLogger } from '../src/observability/logger.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '3' }, clients: { type: 'string', default: '1,8,32' } },
})

const run = promisify(execFile)

/** Transactions a second. The router is in this very process: nothing here may block it. */
async function pgbench(port: number, database: string, args: readonly string[]): Promise<number> {
  const { stdout } = await run('pgbench', ['-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', ...args, database])
  return Number(/tps = ([\d.]+)/.exec(stdout)?.[1] ?? 0)
}

async function startPgBouncer(target: number): Promise<{ port: number; stop: () => void } | undefined> {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  const port = await freePort()
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-bench-'))
  fs.chmodSync(folder, 0o755)
  const file = path.join(folder, 'pgbouncer.ini')
  fs.writeFileSync(
    file,
    `[databases]\n* = host=127.0.0.1 port=${target}\n[pgbouncer]\nlisten_addr=127.0.0.1\nlisten_port=${port}\nauth_type=any\nunix_socket_dir=\npool_mode=transaction\nmax_client_conn=1000\ndefault_pool_size=40\nlogfile=\n`,
  )
  fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('* = host', 'plain = user=postgres host'))
  const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}
  const child = spawn('pgbouncer', [file], { ...user, stdio: 'ignore' })
  await realClock.sleep(500)
  return {
    port,
    stop: () => {
      child.kill('SIGINT')
      fs.rmSync(folder, { recursive: true, force: true })
    },
  }
}

const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? Number.NaN

async function main(): Promise<void> {
  const dataDir = fs.mkdtempSync(path.join(os.tmpdir(), 'pgherd-bench-'))
  fs.chmodSync(dataDir, 0o755)
  const quiet = consoleLogger('quiet')
  const running = await startDev({ shards: 2, replicas: 0, host: '127.0.0.1', port: 0, dataDir, pgBin: undefined, clock: realClock, log: quiet })
  const direct = running.cluster.catalog.port
  // The plain copy is a database of its own on the catalog's server, beside the shell.
  execFileSync('createdb', ['-h', '127.0.0.1', '-p', String(direct), '-U', 'postgres', 'plain'])
  const bouncer = await startPgBouncer(direct)
  try {
    await pgbench(running.port, 'postgres', ['-i', '-s', '5', '-q'])
    await pgbench(direct, 'plain', ['-i', '-s', '5', '-q'])
    for (const protocol of ['simple', 'extended', 'prepared']) {
      for (const clients of values.clients.split(',')) {
        const toDirect: number[] = []
        const toBouncer: number[] = []
        for (let round = 0; round < Number(values.rounds); round++) {
          const args = ['-n', '-S', '-M', protocol, '-c', clients, '-j', '1', '-T', values.seconds]
          const one = await pgbench(direct, 'plain', args)
          const two = await pgbench(running.port, 'postgres', args)
          toDirect.push(two / one)
          if (bouncer !== undefined && protocol !== 'prepared') toBouncer.push(two / (await pgbench(bouncer.port, 'plain', args)))
        }
        const against = toBouncer.length === 0 ? '-' : median(toBouncer).toFixed(2)
        process.stdout.write(`${protocol.padEnd(9)} clients=${clients.padStart(2)}  pgherd/direct=${median(toDirect).toFixed(2)}  pgherd/pgbouncer=${against}\n`)
      }
    }
  } finally {
    bouncer?.stop()
    await running.stop()
    fs.rmSync(dataDir, { recursive: true, force: true })
  }
}

await main()
