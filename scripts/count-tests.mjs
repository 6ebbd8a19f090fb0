// Adds up vitest's reports: count-tests.mjs REPORT... prints how many tests passed and failed, and fails when one did.
import fs from 'node:fs'

let passed = 0
let failed = 0
let skipped = 0
for (const file of process.argv.slice(2)) {
  // A run that was broken off has written no report, and one whose file could not be loaded has no test that failed.
  const report = fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : { success: false }
  passed += report.numPassedTests ?? 0
  skipped += report.numPendingTests ?? 0
  failed += report.success ? (report.numFailedTests ?? 0) : Math.max(report.numFailedTests ?? 0, 1)
}
if (skipped > 0) console.log(`${skipped} skipped, for the reasons that their titles tell`)
console.log(`${passed} passed, ${failed} failed`)
process.exit(failed === 0 && passed > 0 ? 0 : 1)
