import { command, wholeNumber } from '../command.ts'
import { startDev } from '../dev.ts'

export const dev = command({
  name: 'dev',
  synopsis: '[--shards 2] [--replicas 1] [--host 127.0.0.1] [--port 6432] [--data-dir .pgherd] [--pg-bin DIR]',
  about: 'a whole cluster on this machine',
  options: {
    shards: { type: 'string', default: '2' },
    replicas: { type: 'string', default: '1' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '6432' },
    'data-dir': { type: 'string', default: '.pgherd' },
    'pg-bin': { type: 'string' },
  },
  async run({ values }, { clock, log, terminal, onInterrupt, untilInterrupted }) {
    const [shards, replicas] = [wholeNumber('--shards', values.shards, 1, 32), wholeNumber('--replicas', values.replicas, 0, 4)]
    const port = wholeNumber('--port', values.port, 0, 65535)
    const aborter = new AbortController()
    onInterrupt(() => aborter.abort())
    const running = await startDev({ signal: aborter.signal, shards, replicas, host: values.host, port, dataDir: values['data-dir'], pgBin: values['pg-bin'], clock, log })
    untilInterrupted(() => running.stop())
    terminal.print(`pgherd is ready: psql -h 127.0.0.1 -p ${running.port} -U postgres`)
  },
})
