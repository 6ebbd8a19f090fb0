/** Rules of the code, as tests of the code. Each names the file, and what to do instead. */
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const source = path.join(root, 'src')
const linesMax = 500

interface SourceFile {
  /** From the top of the repository, with slashes. */
  readonly name: string
  readonly text: string
}

const entries = fs.readdirSync(source, { recursive: true, withFileTypes: true })
const files: SourceFile[] = entries
  .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
  .map((entry) => path.join(entry.parentPath, entry.name))
  .map((file) => ({ name: path.relative(root, file).split(path.sep).join('/'), text: fs.readFileSync(file, 'utf8') }))
const modules = files.filter((file) => !file.name.endsWith('.d.ts'))

/** Comments may speak of what code may not do. */
function code(text: string): string {
  return text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '')
}

/** The files that do something outside the places where it belongs. */
function offenders(pattern: RegExp, allowed: readonly string[]): string[] {
  return modules
    .filter((file) => !allowed.some((place) => file.name === place || (place.endsWith('/') && file.name.startsWith(place))))
    .filter((file) => pattern.test(code(file.text)))
    .map((file) => file.name)
}

describe('tidy', () => {
  test('there are files to look at', () => {
    expect(modules.length).toBeGreaterThan(50)
  })

  test(`no file has more than ${linesMax} lines: split it by concept`, () => {
    const long = files.map((file) => ({ name: file.name, lines: file.text.split('\n').length - 1 })).filter(({ lines }) => lines > linesMax)
    expect(long).toEqual([])
  })

  test('libpg-query is imported in src/sql/parse.ts only: call its functions instead', () => {
    expect(offenders(/(?:from|import|require)\s*\(?\s*['"]libpg-query/, ['src/sql/parse.ts'])).toEqual([])
  })

  test('process.env is read by embedded servers only: pass settings as options instead', () => {
    expect(offenders(/process\s*\.\s*env/, ['src/embedded/postgres-server.ts', 'src/embedded/redis-server.ts'])).toEqual([])
  })

  test('real time and chance come from a Clock: take one in the constructor instead', () => {
    const pattern = /\bDate\.now\b|\bperformance\.now\b|\bnew Date\(\)|\bMath\.random\b|\bset(?:Timeout|Interval)\b/
    expect(offenders(pattern, ['src/base/clock.ts', 'src/embedded/', 'src/shard/connection.ts'])).toEqual([])
  })

  test('the wall clock is for what people see, and for what routers compare: measure with clock.ticks() instead', () => {
    const seen = ['src/executor/transaction-time.ts', 'src/router/session.ts', 'src/router/extended-protocol.ts']
    const compared = ['src/transaction/transaction.ts', 'src/transaction/commit.ts', 'src/transaction/transaction-status.ts', 'src/transaction/suspect.ts']
    expect(offenders(/\bclock\.now\(\)/, [...seen, ...compared])).toEqual([])
  })

  test('nothing is exported as default: export it by its name instead', () => {
    expect(offenders(/^\s*export\s+default\b|\bas\s+default\b/m, [])).toEqual([])
  })

  test('every folder of src says in a README.md what it is for', () => {
    const folders = entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(entry.parentPath, entry.name))
    const without = folders.filter((folder) => !fs.existsSync(path.join(folder, 'README.md')))
    expect(without.map((folder) => path.relative(root, folder))).toEqual([])
  })
})
