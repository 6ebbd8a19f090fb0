/** pgjdbc, the driver of Java: portals by fetch size, autosave, rewritten batches, large objects by function calls. */
import path from 'node:path'
import type { Missing, Program } from './drivers/program.ts'
import { cacheFolder, checksIn, requireSteps, run, sourceFolder, testProgram } from './drivers/program.ts'

const folder = sourceFolder('pgjdbc')
const copyDependencies = 'org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies'

async function prepare(): Promise<Program | Missing> {
  const cache = cacheFolder('pgjdbc')
  const missing = await requireSteps(folder, [
    ['javac', '-version'],
    ['mvn', '-B', '-q', copyDependencies, `-DoutputDirectory=${cache}`],
  ])
  if (missing !== undefined) return missing
  const { ok, output } = await run('javac', ['-cp', `${cache}/*`, '-d', `${cache}/classes`, 'Check.java'], folder)
  if (!ok) throw new Error(output)
  return { command: 'java', args: ['-XX:TieredStopAtLevel=1', '-cp', `${cache}/classes:${cache}/*`, 'Check'] }
}

const checks = checksIn(path.join(folder, 'Check.java'), /checks\.put\("(\w+)"/g)

testProgram('pgjdbc', await prepare(), checks, (port, database) => `jdbc:postgresql://127.0.0.1:${port}/${database}?user=postgres`)
