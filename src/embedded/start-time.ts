import fs from 'node:fs'

/** When a process began, so that a number used again is not taken for the same process. Empty when there is none. */
export function startTime(pid: number): string {
  try {
    process.kill(pid, 0)
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
  } catch {
    return process.platform === 'linux' ? 'none' : String(pid)
  }
}
