import fs from 'node:fs'
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { parserReady } from '../../src/sql/parse.ts'
import { planText, readGolden, supportPage, writeGolden } from '../support/golden.ts'

const page = path.join(import.meta.dirname, '../../docs/sql-support.md')
/** UPDATE_PLANS=1 writes the plans anew, to be read in the diff. */
const update = process.env.UPDATE_PLANS === '1'

beforeAll(() => parserReady)

describe.each(readGolden())('$file', (golden) => {
  if (update) {
    it('is written anew', () => {
      const cases = golden.cases.map((one) => ({ ...one, plan: planText(one.sql) }))
      writeGolden({ ...golden, cases })
      expect(cases.length).toBeGreaterThan(0)
    })
    return
  }
  it.each(golden.cases)('$comment', ({ sql, plan }) => {
    expect(planText(sql)).toBe(plan)
  })
})

it('docs/sql-support.md is made from these plans', () => {
  const text = supportPage(readGolden())
  if (update) fs.writeFileSync(page, text)
  expect(fs.readFileSync(page, 'utf8')).toBe(text)
})
