// Fails when tests have left something behind: leftovers.mjs FOLDER, the temporary folder that only they had.
import fs from 'node:fs'
import path from 'node:path'

const scratch = fs.realpathSync(process.argv[2])
const folders = fs.readdirSync(scratch).filter((name) => name.startsWith('pgherd'))
const found = folders.map((name) => `folder ${path.join(scratch, name)}`)

/** A link or a file of /proc, or nothing: a process may end while it is looked at, or be another user's. */
function read(get) {
  try {
    return get()
  } catch {
    return ''
  }
}

// A server that is left behind keeps its port: processes stand for both. Only Linux tells where they work.
const processes = fs.existsSync('/proc/self/cmdline') ? fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name)) : []
for (const pid of processes) {
  if (Number(pid) === process.pid) continue
  const command = read(() => fs.readFileSync(`/proc/${pid}/cmdline`, 'utf8')).replaceAll('\0', ' ').trim()
  const folder = read(() => fs.readlinkSync(`/proc/${pid}/cwd`))
  if (command.includes(`${scratch}/pgherd`) || folder.startsWith(`${scratch}/pgherd`)) found.push(`process ${pid}: ${command}`)
}

for (const one of found) console.error(`left behind: ${one}`)
process.exit(found.length === 0 ? 0 : 1)
