import { command } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'

export const shardDrain = command({
  name: 'shard drain',
  synopsis: `SHARD\n${reachSynopsis}`,
  about: 'gives a shard nothing new; pgherd rebalance, in each database, then moves away what it has',
  options: reachOptions,
  words: { least: 1, most: 1 },
  async run({ values, words }, { terminal }) {
    await withRouter(values, (client) => client.query('SELECT pgherd.drain_shard($1)', [words[0]]))
    terminal.print(`${words[0]} gets nothing new. pgherd rebalance moves away what it has.`)
  },
})

export const shardUndrain = command({
  name: 'shard undrain',
  synopsis: `SHARD\n${reachSynopsis}`,
  about: 'lets a shard that was to be drained take buckets and tables again',
  options: reachOptions,
  words: { least: 1, most: 1 },
  async run({ values, words }, { terminal }) {
    await withRouter(values, (client) => client.query('SELECT pgherd.undrain_shard($1)', [words[0]]))
    terminal.print(`${words[0]} is active.`)
  },
})
