/** psycopg 3 (libpq underneath), in a virtual environment of its own; PYTHON names an interpreter that has psycopg instead. */
import path from 'node:path'
import type { Missing, Program } from './drivers/program.ts'
import { cacheFolder, checksIn, requireSteps, run, sourceFolder, testProgram } from './drivers/program.ts'

const folder = sourceFolder('psycopg')
const script = path.join(folder, 'check.py')

async function prepare(): Promise<Program | Missing> {
  const given = process.env['PYTHON']
  if (given !== undefined && (await run(given, ['-c', 'import psycopg'], folder)).ok) return { command: given, args: [script] }
  const environment = cacheFolder('psycopg')
  const python = path.join(environment, 'bin/python')
  const missing = await requireSteps(folder, [
    ['python3', '-m', 'venv', environment],
    [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', 'requirements.txt'],
  ])
  return missing ?? { command: python, args: [script] }
}

const checks = checksIn(script, /^def (\w+)\(conn\):/gm).filter((name) => name !== 'fill')

testProgram('psycopg', await prepare(), checks, (port, database) => `host=127.0.0.1 port=${port} user=postgres dbname=${database}`)
