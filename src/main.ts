#!/usr/bin/env node
/** The command line: reads arguments, builds what they ask for, and stops it in order. */
import { parseArgs } from 'node:util'
import { realClock } from './base/clock.ts'
import { startDev } from './cli/dev.ts'
import { printStatus } from './cli/status.ts'
import { checkRedisUrl, parseCatalogUrl, parseShard } from './cli/catalog-url.ts'
import { bootstrap } from './coordination/bootstrap.ts'
import { consoleLogger } from './observability/logger.ts'
import { Router } from './router/router.ts'

const usage = `pgherd dev      [--shards 2] [--replicas 1] [--port 6432] [--data-dir .pgherd] [--pg-bin DIR]
                a whole cluster on this machine
pgherd router   --catalog postgres://USER[:PASSWORD]@HOST:PORT [--redis redis://[USER:PASSWORD@]HOST:PORT]
                [--host 127.0.0.1] [--port 6432]
                a router alone, for servers that exist; several share their locks in Redis
pgherd init     --catalog URL --shard HOST:PORT[,REPLICA:PORT...] [--shard ...]
                makes a cluster of servers that exist; may be repeated
pgherd status   [--port 6432] [--json]
                what a running cluster looks like`

async function main(): Promise<void> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: {
      shards: { type: 'string', default: '2' },
      replicas: { type: 'string', default: '1' },
      host: { type: 'string', default: '127.0.0.1' },
      port: { type: 'string', default: '6432' },
      'data-dir': { type: 'string', default: '.pgherd' },
      'pg-bin': { type: 'string' },
      catalog: { type: 'string' },
      redis: { type: 'string' },
      shard: { type: 'string', multiple: true, default: [] },
      json: { type: 'boolean', default: false },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  })
  const [command] = positionals
  if (values.help || command === undefined) {
    process.stdout.write(`${usage}\n`)
    return
  }
  const log = consoleLogger(values.verbose ? 'debug' : 'info')
  const host = values.host
  const port = count('port', values.port, 0, 65535)
  if (command === 'dev') {
    const shards = count('shards', values.shards, 1, 32)
    const replicas = count('replicas', values.replicas, 0, 4)
    const aborter = new AbortController()
    let stop = () => Promise.resolve(aborter.abort())
    stopOnSignal(() => stop())
    const running = await startDev({ signal: aborter.signal, shards, replicas, host, port, dataDir: values['data-dir'], pgBin: values['pg-bin'], clock: realClock, log })
    ready = true
    process.stdout.write(`pgherd is ready: psql -h 127.0.0.1 -p ${running.port} -U postgres\n`)
    stop = () => running.stop()
  } else if (command === 'router') {
    if (values.catalog === undefined) throw new Error('router needs --catalog')
    const { catalog, credentials } = parseCatalogUrl(values.catalog)
    const redis = values.redis === undefined ? undefined : checkRedisUrl(values.redis)
    const router = await Router.start({ catalog, credentials, redis, host, port, clock: realClock, log })
    ready = true
    process.stdout.write(`pgherd is ready: psql -h ${host} -p ${router.port}\n`)
    stopOnSignal(() => router.stop())
  } else if (command === 'init') {
    if (values.catalog === undefined || values.shard.length === 0) throw new Error('init needs --catalog, and --shard for each shard')
    const { catalog, credentials } = parseCatalogUrl(values.catalog)
    await bootstrap(catalog, values.shard.map(parseShard), credentials, realClock)
    log.info(`the cluster has ${values.shard.length} shards`)
  } else if (command === 'status') await printStatus(host, port, values.json)
  else throw new Error(`unknown command ${command} (see pgherd --help)`)
}

function count(name: string, text: string, least: number, most: number): number {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least || value > most) throw new Error(`--${name} must be a whole number from ${least} to ${most}`)
  return value
}

function stopOnSignal(stop: () => Promise<void>): void {
  let stopping = false
  const onSignal = () => {
    if (stopping) process.exit(1) // a second Ctrl-C does not wait
    stopping = true
    stop().then(
      () => stoppedCleanly(),
      (error: Error) => fail(error),
    )
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  process.on('SIGHUP', onSignal)
}

/** An interrupted start says so itself, once what it had started has stopped. */
let ready = false
function stoppedCleanly(): void {
  if (ready) process.exit(0)
}

function fail(error: Error & { code?: string }): never {
  const message =
    error.code === 'EADDRINUSE' ? 'the port is taken: choose another with --port' : error.code === 'ENOSPC' ? 'the disk is full' : error.message
  process.stderr.write(`pgherd: ${message}\n`)
  process.exit(1)
}

main().catch(fail)
