/** Which processes belong to a cluster, as /proc tells: so that they can be killed, and that none is left can be seen. */
import fs from 'node:fs'
import path from 'node:path'

/** All processes that work in a folder or below it: a PostgreSQL process lives in its data folder. */
export function processesIn(folder: string): number[] {
  return allProcesses().filter((pid) => {
    const place = workingFolder(pid)
    return place === folder || place.startsWith(`${folder}${path.sep}`)
  })
}

/** SIGKILL to each, without a chance to say goodbye. The first is stopped first, so that it starts no more. */
export function killAtOnce(pids: readonly number[]): void {
  for (const signal of ['SIGSTOP', 'SIGKILL'] as const) for (const pid of pids) send(pid, signal)
}

export function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}

function allProcesses(): number[] {
  return fs
    .readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
}

/** Empty for a process that has ended, a zombie, or another user's. */
function workingFolder(pid: number): string {
  try {
    return fs.readlinkSync(`/proc/${pid}/cwd`)
  } catch {
    return ''
  }
}
