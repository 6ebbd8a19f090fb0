/**
 * Compares pgherd with direct PostgreSQL and PgBouncer (transaction mode) by `pgbench -S`, in interleaved rounds.
 *
 * Machines are noisy, so every ratio is taken within one round, and medians of ratios are printed. PgBouncer before 1.21 has no
 * prepared statements in transaction mode: there it is left out of that protocol.
 */
import { execFileSync, spawn } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { realClock } from '../src/base/clock.ts'
import { freePort } from '../src/embedded/free-port.ts'
import { makeFolder, median, pgbench, withCluster } from './support.ts'

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '3' }, seconds: { type: 'string', default: '3' }, clients: { type: 'string', default: '1,8,32' } },
})

async function startPgBouncer(target: number): Promise<{ port: number; stop: () => void } | undefined> {
  try {
    execFileSync('pgbouncer', ['--version'], { stdio: 'ignore' })
  } catch {
    return undefined
  }
  const port = await freePort()
  const folder = makeFolder()
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

await withCluster(async (running) => {
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
  }
})
