/** A replica's primary_conninfo: whom it follows. Keywords and values as libpq reads them; a URL is not understood. */

export interface FollowedAddress {
  readonly host: string
  readonly port: number
}

/** Nobody listens there (tcpmux): a replica with this follows nobody, and keeps all else that its conninfo says. */
export const nowhere: FollowedAddress = { host: '127.0.0.1', port: 1 }

/** Undefined when it is empty or a URL. */
export function readConninfo(text: string): ReadonlyMap<string, string> | undefined {
  if (/^\s*postgres(ql)?:\/\//.test(text)) return undefined
  const found = new Map<string, string>()
  const pairs = /\s*([a-z_]+)\s*=\s*(?:'((?:[^'\\]|\\.)*)'|((?:[^\s'\\]|\\.)*))\s*/gy
  let end = 0
  for (const match of text.matchAll(pairs)) {
    const [all, name = '', quoted, plain = ''] = match
    found.set(name, (quoted ?? plain).replace(/\\(.)/g, '$1'))
    end = match.index + all.length
  }
  return end === text.length && found.size > 0 ? found : undefined
}

/** The same, but for whom it leads to. */
export function leadTo({ host, port }: FollowedAddress, conninfo: ReadonlyMap<string, string>): string {
  const next = new Map([...conninfo, ['host', host], ['port', String(port)]])
  next.delete('hostaddr')
  return [...next].map(([name, value]) => `${name}='${value.replace(/[\\']/g, '\\$&')}'`).join(' ')
}
