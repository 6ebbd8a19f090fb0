/** The same statements on one PostgreSQL and on the cluster give the same answers. PARITY_UPDATE=1 writes the list of differences anew. */
import fs from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, describe, expect, inject, test } from 'vitest'
import { complaints, readKnown, writeKnown } from './known-differences.ts'
import { runCase } from './run-case.ts'
import type { Difference } from './run-case.ts'
import { splitStatements } from './split-statements.ts'

const folder = fileURLToPath(new URL('cases', import.meta.url))
const update = process.env['PARITY_UPDATE'] === '1'
const list = readKnown()
const found = new Map<string, Difference[]>()

describe('parity', () => {
  for (const name of fs.readdirSync(folder).filter((file) => file.endsWith('.sql')).sort()) {
    test(name, async () => {
      const statements = splitStatements(fs.readFileSync(path.join(folder, name), 'utf8'))
      expect(statements.length).toBeGreaterThan(0)
      const differences = await runCase(statements, { cluster: inject('clusterPort'), plain: inject('plainPort') })
      found.set(name, differences)
      if (!update) expect(complaints(list, name, differences).join('\n')).toBe('')
    })
  }

  afterAll(() => {
    if (update) writeKnown(list, found)
  })
})
