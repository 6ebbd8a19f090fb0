// The layer check, which fails when it has looked at no module: a parser that is missing would otherwise find nothing wrong.
import { cruise } from 'dependency-cruiser'
import { createRequire } from 'node:module'

const { options, forbidden } = createRequire(import.meta.url)('../.dependency-cruiser.cjs')
const { output } = await cruise(['src'], { ...options, validate: true, ruleSet: { forbidden } })
const { totalCruised, totalDependenciesCruised, violations } = output.summary
for (const { from, to, rule } of violations) console.error(`${rule.name}: ${from} imports ${to}`)
if (totalCruised < 50 || totalDependenciesCruised < 100) {
  console.error(`only ${totalCruised} modules were looked at: the check does not work`)
  process.exit(1)
}
console.log(`layers: ${totalCruised} modules, ${violations.length} violations`)
process.exit(violations.length === 0 ? 0 : 1)
