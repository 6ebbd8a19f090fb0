/** Loads the Chinook example as its users do: with psql, from the script as it is published. */
import { spawn, spawnSync } from 'node:child_process'
import fs from 'node:fs'

const script = new URL('../../data/chinook.sql', import.meta.url)

export const hasPsql = spawnSync('psql', ['--version']).status === 0

/** The script makes a database of its own and goes into it; here it gets a name that no other test has. */
export async function loadChinook(port: number, database: string): Promise<void> {
  const text = fs.readFileSync(script, 'utf8').replace(/^(DROP DATABASE IF EXISTS|CREATE DATABASE|\\c) chinook;/gm, `$1 ${database};`)
  const child = spawn('psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', '-h', '127.0.0.1', '-p', String(port), '-U', 'postgres', '-d', 'postgres'])
  let complaints = ''
  child.stderr.setEncoding('utf8').on('data', (chunk: string) => (complaints += chunk))
  child.stdout.resume()
  // psql leaves at the first error without having read the rest: its exit tells more than the broken pipe.
  child.stdin.on('error', () => undefined)
  child.stdin.end(text)
  const code = await new Promise((resolve) => child.once('close', resolve))
  if (code !== 0) throw new Error(`psql ended with ${String(code)}: ${complaints}`)
}
