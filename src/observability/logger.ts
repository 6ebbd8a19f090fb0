/** Lines for people on standard error. One line an event; `debug` only when asked for. */
export interface Logger {
  info(message: string): void
  warn(message: string): void
  debug(message: string): void
}

export function consoleLogger(level: 'quiet' | 'info' | 'debug'): Logger {
  const write = (tag: string, message: string) => process.stderr.write(`pgherd ${tag}: ${message}\n`)
  return {
    info: (message) => level !== 'quiet' && write('info', message),
    warn: (message) => write('warning', message),
    debug: (message) => level === 'debug' && write('debug', message),
  }
}
