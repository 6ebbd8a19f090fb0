import { command } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'

export const shardRemove = command({
  name: 'shard remove',
  synopsis: `SHARD\n${reachSynopsis}`,
  about: 'takes a shard out of the cluster that has no buckets and tables any more, or gives up one that is joining',
  options: reachOptions,
  words: { least: 1, most: 1 },
  async run({ values, words }, { terminal }) {
    await withRouter(values, (client) => client.query('SELECT pgherd.remove_shard($1)', [words[0]]))
    terminal.print(`${words[0]} was removed.`)
  },
})
