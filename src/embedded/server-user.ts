/**
 * The operating system's user that PostgreSQL runs as.
 *
 * PostgreSQL refuses to run as root. Started by root, the servers run as `postgres` where that user exists, else as
 * `nobody`; started by anyone else they run as that user.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import fs from 'node:fs'

export interface ServerUser {
  /** Options for child_process: uid and gid, or nothing. */
  readonly spawn: { readonly uid?: number; readonly gid?: number }
  /** Gives a folder (not its parents) to that user. */
  own(folder: string): void
  canRead(file: string): boolean
}

export function serverUser(): ServerUser {
  if (process.getuid?.() !== 0) {
    return { spawn: {}, own: () => undefined, canRead: () => true }
  }
  const entries = fs.readFileSync('/etc/passwd', 'utf8').split('\n')
  const entry = ['postgres', 'nobody'].map((name) => entries.find((line) => line.startsWith(`${name}:`))).find(Boolean)
  if (entry === undefined) throw new Error('PostgreSQL cannot run as root, and there is no user postgres or nobody')
  const [, , uidText, gidText] = entry.split(':')
  const uid = Number(uidText)
  const gid = Number(gidText)
  return {
    spawn: { uid, gid },
    own: (folder) => void execFileSync('chown', ['-R', `${uid}:${gid}`, folder]),
    canRead: (file) => spawnSync('test', ['-r', file], { uid, gid }).status === 0,
  }
}
