import { bootstrap } from '../../coordination/bootstrap.ts'
import { parseCatalogUrl, parseShard } from '../catalog-url.ts'
import { command } from '../command.ts'

export const init = command({
  name: 'init',
  synopsis: '--catalog URL --shard HOST:PORT[,REPLICA:PORT...] [--shard ...]',
  about: 'makes a cluster of servers that exist; may be repeated',
  options: { catalog: { type: 'string' }, shard: { type: 'string', multiple: true, default: [] as string[] } },
  async run({ values }, { clock, log }) {
    if (values.catalog === undefined || values.shard.length === 0) throw new Error('init needs --catalog, and --shard for each shard')
    const { catalog, credentials } = parseCatalogUrl(values.catalog)
    await bootstrap(catalog, values.shard.map(parseShard), credentials, clock)
    log.info(`the cluster has ${values.shard.length} shards`)
  },
})
