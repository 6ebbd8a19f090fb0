/** One PostgreSQL server as a child process: made with initdb, started, stopped, found again after a crash. */
import { execFile, spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import fs from 'node:fs'
import path from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import type { Binaries } from './binaries.ts'
import type { ServerUser } from './server-user.ts'

const execFileAsync = promisify(execFile)

/** Settings without which pgherd cannot work, and what suits a laptop. */
const settings: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  max_connections: '400',
  max_prepared_transactions: '400',
  max_locks_per_transaction: '512',
  wal_level: 'logical',
  max_wal_senders: '32',
  max_replication_slots: '64',
  // Who has gone without saying so is missed within seconds: a replica by its primary, and a primary by its replicas.
  wal_sender_timeout: '5s',
  wal_receiver_timeout: '5s',
  wal_retrieve_retry_interval: '500ms',
  // A replica that stays away fills no disk: it is made anew when it is back.
  max_slot_wal_keep_size: '4GB',
  shared_buffers: '64MB',
  max_wal_size: '512MB',
  log_checkpoints: 'off',
  lc_messages: 'C',
}

export class PostgresServer {
  readonly dataDir: string
  readonly port: number
  private readonly binaries: Binaries
  private readonly user: ServerUser
  private child: ChildProcess | undefined
  private stopped = false
  private making: Promise<void> = Promise.resolve()

  constructor(binaries: Binaries, user: ServerUser, dataDir: string, port: number) {
    this.binaries = binaries
    this.user = user
    this.dataDir = dataDir
    this.port = port
  }

  get exists(): boolean {
    return fs.existsSync(path.join(this.dataDir, 'PG_VERSION'))
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  get isRunning(): boolean {
    return this.child !== undefined
  }

  /** It follows another server, or is on its way to be promoted. */
  get isStandby(): boolean {
    return fs.existsSync(path.join(this.dataDir, 'standby.signal'))
  }

  /** The replication slot through which it follows. */
  get followedSlot(): string {
    const lines = fs.readFileSync(path.join(this.dataDir, 'postgresql.auto.conf'), 'utf8').split('\n')
    return /^primary_slot_name = '(.*)'/.exec(lines.findLast((line) => line.startsWith('primary_slot_name')) ?? '')?.[1] ?? ''
  }

  /** The latest that its log knows of: its segments and the histories of timelines have it in their names. */
  get timeline(): number {
    const folder = path.join(this.dataDir, 'pg_wal')
    const names = fs.existsSync(folder) ? fs.readdirSync(folder) : []
    return Math.max(0, ...names.map((name) => (/^[0-9A-F]{8}([0-9A-F]{16}|\.history)/.test(name) ? Number.parseInt(name.slice(0, 8), 16) : 0)))
  }

  /** Makes an empty server whose superuser is `postgres` and whom every local client may enter. */
  async init(): Promise<void> {
    fs.mkdirSync(this.dataDir, { recursive: true, mode: 0o700 })
    this.user.own(this.dataDir)
    const locale = this.binaries.version >= 17 ? ['--locale-provider=builtin', '--builtin-locale=C.UTF-8'] : []
    const access = ['-D', this.dataDir, '-U', 'postgres', '--auth=trust', '--encoding=UTF8', '--no-instructions', '--no-sync']
    await this.run('initdb', [...access, '--locale=C', ...locale])
    const lines = Object.entries(settings).map(([name, value]) => `${name} = '${value}'`)
    fs.appendFileSync(path.join(this.dataDir, 'postgresql.conf'), `\n# pgherd\n${lines.join('\n')}\n`)
  }

  /** A copy of a server that has never run: it has the same system identifier and can follow it from its first record. */
  async cloneStopped(to: PostgresServer): Promise<void> {
    await fs.promises.cp(this.dataDir, to.dataDir, { recursive: true, preserveTimestamps: true })
    this.user.own(to.dataDir)
    fs.chmodSync(to.dataDir, 0o700)
  }

  /** Makes this server a streaming replica of the one on `port`, through the replication slot `slot`. */
  follow(port: number, slot: string): void {
    const lines = [
      `primary_conninfo = 'host=127.0.0.1 port=${port} user=postgres application_name=${slot}'`,
      `primary_slot_name = '${slot}'`,
      // A copy has its primary's.
      `synchronous_standby_names = ''`,
    ]
    fs.appendFileSync(path.join(this.dataDir, 'postgresql.auto.conf'), `${lines.join('\n')}\n`)
    fs.writeFileSync(path.join(this.dataDir, 'standby.signal'), '')
    this.user.own(this.dataDir)
  }

  /** Starts the server and waits until it answers. Throws with the reason in one line. */
  async start(): Promise<void> {
    await this.stopLeftOver()
    this.checkVersion()
    if (this.stopped) throw new Error('stopped before it had started')
    const log = fs.openSync(path.join(this.dataDir, 'server.log'), 'a')
    const child = spawn(path.join(this.binaries.binDir, 'postgres'), ['-D', this.dataDir, '-p', String(this.port)], {
      ...this.user.spawn,
      stdio: ['ignore', log, log],
      detached: true, // a Ctrl-C in the terminal reaches the router alone, which then stops the servers in order
      cwd: this.dataDir,
    })
    fs.closeSync(log)
    this.child = child
    let failure: string | undefined
    child.once('error', (error) => (failure = error.message))
    child.once('exit', (code, signal) => {
      failure = `it ended with ${signal ?? code}: ${this.lastLogLine()}`
      this.child = undefined
    })
    for (;;) {
      if (failure !== undefined) throw new Error(`PostgreSQL on port ${this.port} did not start: ${failure}`)
      if (this.isOurs() && (await this.answers())) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  /** SIGINT: a fast shutdown. Sessions are ended, nothing committed is lost. */
  async stop(): Promise<void> {
    this.stopped = true
    await this.making
    const child = this.child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill('SIGINT')
    await ended
  }

  /** Ends it for now: it may be started again. */
  async halt(signal: NodeJS.Signals): Promise<void> {
    const child = this.child
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return
    const ended = new Promise((resolve) => child.once('exit', resolve))
    child.kill(signal)
    await ended
    await this.endOrphans()
  }

  kill(signal: NodeJS.Signals): void {
    this.child?.kill(signal)
  }

  async answers(): Promise<boolean> {
    return this.ask(() => Promise.resolve(true)).catch(() => false)
  }

  /** Throws when it cannot be entered. */
  async ask<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = new pg.Client({ host: '127.0.0.1', port: this.port, user: 'postgres', database: 'postgres' })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return await work(client)
    } finally {
      await client.end().catch(() => undefined)
    }
  }

  /** Whoever answers on the port may be somebody else's server: ours has written its pid file, and is ready. */
  private isOurs(): boolean {
    try {
      const lines = fs.readFileSync(path.join(this.dataDir, 'postmaster.pid'), 'utf8').split('\n')
      return Number(lines[0]) === this.child?.pid && /^ready|^standby/.test(lines[7] ?? '')
    } catch {
      return false
    }
  }

  private checkVersion(): void {
    const version = Number(fs.readFileSync(path.join(this.dataDir, 'PG_VERSION'), 'utf8'))
    if (version === this.binaries.version) return
    throw new Error(
      `${this.dataDir} was made by PostgreSQL ${version}, and this is ${this.binaries.version}: use --pg-bin, or another --data-dir`,
    )
  }

  /** After a kill -9 of the router its servers still run, or have left their pid file behind. */
  private async stopLeftOver(): Promise<void> {
    const file = path.join(this.dataDir, 'postmaster.pid')
    if (!fs.existsSync(file)) return
    const [pidLine, dirLine] = fs.readFileSync(file, 'utf8').split('\n')
    const pid = Number(pidLine)
    if (dirLine !== this.dataDir) return
    const giveUp = Date.now() + zombieMsMax
    if (isPostgres(pid)) process.kill(pid, 'SIGINT')
    // PostgreSQL takes even a dead process for living until its parent has seen it end.
    while (isPostgres(pid) || exists(pid)) {
      if (!isPostgres(pid) && Date.now() > giveUp) break
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    if (exists(pid)) fs.rmSync(file, { force: true })
    await this.endOrphans()
  }

  /** A backend may outlive its postmaster, busy; while it lives PostgreSQL does not start again on the same data. */
  private async endOrphans(): Promise<void> {
    if (!fs.existsSync('/proc/self/cwd')) return
    const mine = () =>
      fs.readdirSync('/proc').map(Number).filter((pid) => {
        try {
          return pid > 0 && isPostgres(pid) && fs.readlinkSync(`/proc/${pid}/cwd`) === this.dataDir
        } catch {
          return false // it has ended meanwhile
        }
      })
    for (let pids = mine(); pids.length > 0; pids = mine()) {
      for (const pid of pids) process.kill(pid, 'SIGKILL')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  private lastLogLine(): string {
    const lines = fs.readFileSync(path.join(this.dataDir, 'server.log'), 'utf8').trimEnd().split('\n')
    return lines.findLast((line) => /FATAL|PANIC|ERROR/.test(line)) ?? lines.at(-1) ?? 'no reason given'
  }

  private run(program: string, args: string[]): Promise<void> {
    const running = this.runToEnd(program, args)
    this.making = running.catch(() => undefined) // whoever began it is told
    return running
  }

  private async runToEnd(program: string, args: string[]): Promise<void> {
    try {
      await execFileAsync(path.join(this.binaries.binDir, program), args, { ...this.user.spawn, env: { ...process.env, LC_ALL: 'C' } })
    } catch (error) {
      const { stderr, message } = error as Error & { stderr?: string }
      throw new Error(`${program} failed: ${(stderr ?? message).trim().split('\n').at(-1)}`, { cause: error })
    }
  }
}

const zombieMsMax = 5_000

function exists(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

function isPostgres(pid: number): boolean {
  if (!exists(pid)) return false
  try {
    const state = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    return state.includes('(postgres)') && !state.includes(') Z ')
  } catch {
    return process.platform !== 'linux'
  }
}
