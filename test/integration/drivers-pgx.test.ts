/** pgx, the driver of Go: batches, pipelines, binary COPY. */
import path from 'node:path'
import type { Missing, Program } from './drivers/program.ts'
import { cacheFolder, checksIn, requireSteps, run, sourceFolder, testProgram } from './drivers/program.ts'

const folder = sourceFolder('pgx')

async function prepare(): Promise<Program | Missing> {
  const missing = await requireSteps(folder, [['go', 'mod', 'download']])
  if (missing !== undefined) return missing
  const program = path.join(cacheFolder('pgx'), 'check')
  const { ok, output } = await run('go', ['build', '-o', program, '.'], folder)
  if (!ok) throw new Error(output)
  return { command: program, args: [] }
}

const checks = checksIn(path.join(folder, 'main.go'), /^\t"(\w+)": /gm)

testProgram('pgx', await prepare(), checks, (port, database) => `postgres://postgres@127.0.0.1:${port}/${database}?sslmode=disable`)
