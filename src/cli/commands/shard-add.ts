import { parseShard } from '../catalog-url.ts'
import { command } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'

export const shardAdd = command({
  name: 'shard add',
  synopsis: `[HOST:PORT[,REPLICA:PORT...]]\n${reachSynopsis}`,
  about: 'lets a running, empty server join as a shard, with its replicas, or a new one where pgherd dev has the servers;\npgherd rebalance then moves buckets to it',
  options: reachOptions,
  words: { least: 0, most: 1 },
  async run({ values, words }, { terminal }) {
    const given = words[0] === undefined ? undefined : parseShard(words[0], 0)
    const followers = given?.replicas.map(({ host, port }) => `${host}:${port}`).join(',')
    const name = await withRouter(values, async (client) => (await client.query<{ name: string }>('SELECT pgherd.add_shard($1, $2, $3) AS name', [given?.primary.host, given?.primary.port, followers])).rows[0]?.name)
    terminal.print(`${name} has joined. pgherd rebalance moves buckets to it.`)
  },
})
