import { Router } from '../../router/router.ts'
import { checkRedisUrl, parseCatalogUrl } from '../catalog-url.ts'
import { command, wholeNumber } from '../command.ts'

export const router = command({
  name: 'router',
  synopsis: '--catalog postgres://USER[:PASSWORD]@HOST:PORT[,REPLICA:PORT...] [--redis redis://[USER:PASSWORD@]HOST:PORT]\n[--host 127.0.0.1] [--port 6432]',
  about: 'a router alone, for servers that exist; several share their locks in Redis',
  options: {
    catalog: { type: 'string' },
    redis: { type: 'string' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '6432' },
  },
  async run({ values }, { clock, log, terminal, untilInterrupted }) {
    if (values.catalog === undefined) throw new Error('router needs --catalog')
    const { catalog, credentials } = parseCatalogUrl(values.catalog)
    const redis = values.redis === undefined ? undefined : checkRedisUrl(values.redis)
    const running = await Router.start({ catalog, credentials, redis, host: values.host, port: wholeNumber('--port', values.port, 0, 65535), clock, log })
    untilInterrupted(() => running.stop())
    terminal.print(`pgherd is ready: psql -h ${values.host} -p ${running.port}`)
  },
})
