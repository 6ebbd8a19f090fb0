/** psycopg 3 (libpq underneath). */
import path from 'node:path'
import { checksIn, sourceFolder, testProgram } from './drivers/program.ts'
import { pythonProgram } from './drivers/python.ts'

const folder = sourceFolder('psycopg')
const checks = checksIn(path.join(folder, 'check.py'), /^def (\w+)\(conn\):/gm).filter((name) => name !== 'fill')

testProgram('psycopg', await pythonProgram('psycopg', folder, 'check.py', 'psycopg'), checks, (port, database) => `host=127.0.0.1 port=${port} user=postgres dbname=${database}`)
