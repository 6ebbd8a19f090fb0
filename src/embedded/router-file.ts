/** Where the router of an embedded cluster listens, in its data directory, for commands that are given no more than that. */
import fs from 'node:fs'
import path from 'node:path'
import { startTime } from './start-time.ts'

export interface RouterAddress {
  readonly host: string
  readonly port: number
}

const fileIn = (dataDir: string) => path.join(dataDir, 'router.json')

/** `host` is what it listens on: where that is every address, this machine's own is told. */
export function writeRouterFile(dataDir: string, { host, port }: RouterAddress): void {
  const reachable = host === '0.0.0.0' || host === '::' || host === '' ? '127.0.0.1' : host
  const file = fileIn(dataDir)
  // Whole or not at all, for whoever reads it meanwhile.
  fs.writeFileSync(`${file}.new`, `${JSON.stringify({ host: reachable, port, pid: process.pid, started: startTime(process.pid) })}\n`)
  fs.renameSync(`${file}.new`, file)
}

export function removeRouterFile(dataDir: string): void {
  fs.rmSync(fileIn(dataDir), { force: true })
}

/** Throws when no cluster runs there. */
export function readRouterFile(dataDir: string): RouterAddress {
  if (!fs.existsSync(dataDir)) throw new Error(`there is no folder ${dataDir}`)
  const none = `no cluster runs in ${dataDir}: start it with pgherd dev --data-dir ${dataDir}`
  const file = fileIn(dataDir)
  if (!fs.existsSync(file)) throw new Error(none)
  const { host, port, pid, started } = JSON.parse(fs.readFileSync(file, 'utf8')) as RouterAddress & { pid: number; started: string }
  // What was killed has left its file, and its port may be another's by now.
  if (startTime(pid) !== started) throw new Error(none)
  return { host, port }
}
