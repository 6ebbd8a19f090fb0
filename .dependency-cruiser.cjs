/** The layers of the house: a folder imports only from those below it. See docs/architecture.md. */
const layers = [
  ['base'],
  ['protocol', 'sql', 'observability'],
  ['catalog'],
  ['planner', 'shard'],
  ['coordination'],
  ['transaction', 'failover'],
  ['executor', 'rebalance'],
  ['admin', 'embedded'],
  ['router', 'console', 'cli'],
]
const above = (i) => layers.slice(i + 1).flat()

module.exports = {
  forbidden: [
    ...layers.flatMap((folders, i) =>
      folders.flatMap((folder) => [
        {
          name: `${folder}-looks-up`,
          severity: 'error',
          from: { path: `^src/${folder}/` },
          to: { path: `^src/(${[...above(i), ...folders.filter((other) => other !== folder && !(folder === 'cli' && other === 'router'))].join('|') || 'nothing'})/` },
        },
      ]),
    ),
    { name: 'no-cycles-between-folders', severity: 'error', from: { path: '^src/([^/]+)/' }, to: { path: '^src/main' } },
    { name: 'not-to-dev-dependencies', severity: 'error', from: { path: '^src' }, to: { dependencyTypes: ['npm-dev'], pathNot: '@pgsql/types' } },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    parser: 'swc',
    enhancedResolveOptions: { extensions: ['.ts', '.d.ts', '.js', '.json'], conditionNames: ['import', 'node', 'default'] },
  },
}
