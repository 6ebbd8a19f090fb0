/** Streams of messages that were well-formed once. Everything comes from a seed, so that a failure can be had again. */
import { seeded } from '../../support/random.ts'
import type { Random } from '../../support/random.ts'
import * as frontend from './messages.ts'

/** What honest clients send, one stream each; between them they touch every message type and kind of plan. */
const streams: readonly (readonly Buffer[])[] = [
  [frontend.query('SELECT count(*) FROM victims'), frontend.query("SELECT note FROM victims WHERE id = 7; SELECT 'two'")],
  [frontend.parse('s', 'SELECT id, note FROM victims WHERE id = $1'), frontend.describeStatement('s'), frontend.bind('p', 's', ['12']), frontend.describePortal('p'), frontend.execute('p'), frontend.closeStatement('s'), frontend.sync],
  [frontend.query('BEGIN'), frontend.query("UPDATE victims SET note = 'changed' WHERE id = 3"), frontend.query('SAVEPOINT a'), frontend.query("UPDATE victims SET note = 'all'"), frontend.query('ROLLBACK TO a'), frontend.query('ROLLBACK')],
  [frontend.query('COPY victims (id, note) FROM STDIN'), frontend.copyData('70001\tone\n70002\ttw'), frontend.copyData('o\n'), frontend.message('f', Buffer.from('enough\0'))],
  [frontend.query('COPY (SELECT * FROM victims) TO STDOUT'), frontend.query('SELECT sum(id), max(note) FROM victims')],
  [frontend.parse('', 'SELECT v.id FROM victims v JOIN victims w ON w.id = v.id + $1::int ORDER BY v.id'), frontend.bind('', '', ['1']), frontend.execute('', 5), frontend.execute('', 5), frontend.flush, frontend.sync],
  [frontend.query('BEGIN'), frontend.query('DECLARE c CURSOR FOR SELECT id FROM victims ORDER BY id'), frontend.query('FETCH 3 FROM c'), frontend.query('CLOSE c'), frontend.query('ROLLBACK')],
  [frontend.query("SET work_mem = '8MB'"), frontend.query('SHOW work_mem'), frontend.query('PREPARE q (int) AS SELECT $1 + 1'), frontend.query('EXECUTE q (4)'), frontend.query('LISTEN noise'), frontend.query('UNLISTEN *')],
]

export interface HostileStream {
  readonly startUp: Buffer
  readonly bytes: Buffer
  /** The start-up packet is intact and the rest are whole messages: what comes behind them is understood. */
  readonly whole: boolean
}

export function hostileStream(seed: number, database: string): HostileStream {
  const random = seeded(seed)
  const honest = frontend.startUp(database)
  const stream = random.pick(streams)
  if (random.below(10) === 0) return { startUp: mutate(honest, random), bytes: Buffer.concat(stream), whole: false }
  let messages = [...stream]
  if (random.below(4) === 0) messages = shuffled(messages, random)
  if (random.below(4) === 0) messages.splice(random.below(messages.length), 0, ...random.pick(streams))
  if (random.below(2) === 0) {
    // Inside one message's payload: the frames stay whole, and the parsers behind the framing get the garbage.
    const at = random.below(messages.length)
    const chosen = messages[at] ?? frontend.sync
    messages[at] = frontend.message(chosen.toString('latin1', 0, 1), mutate(chosen.subarray(5), random))
    return { startUp: honest, bytes: Buffer.concat(messages), whole: true }
  }
  const bytes = mutate(Buffer.concat(messages), random)
  return { startUp: honest, bytes, whole: isWhole(bytes) }
}

function mutate(given: Buffer, random: Random): Buffer {
  let bytes: Buffer = Buffer.from(given)
  for (let left = 1 + random.below(4); left > 0; left--) {
    const at = random.below(bytes.length + 1)
    const length = random.below(12)
    const [before, middle, after] = [bytes.subarray(0, at), bytes.subarray(at, at + length), bytes.subarray(at + length)]
    switch (random.below(6)) {
      case 0:
        bytes = Buffer.concat([before, after])
        break
      case 1:
        bytes = Buffer.concat([before, middle, middle, after])
        break
      case 2:
        bytes = Buffer.concat([before, random.bytes(length), middle, after])
        break
      case 3:
        bytes = Buffer.concat([before, random.bytes(middle.length), after])
        break
      case 4:
        bytes = Buffer.concat([before, Buffer.from(random.pick(awkward)), after])
        break
      default:
        bytes = Buffer.concat([before, middle])
    }
  }
  return bytes
}

/** Numbers and texts at which codecs break: lengths of -1, of 2 GiB, NUL, half of a UTF-8 character, ends of comments. */
const awkward: readonly (readonly number[])[] = [
  [0xff, 0xff, 0xff, 0xff],
  [0x7f, 0xff, 0xff, 0xff],
  [0x80, 0, 0, 0],
  [0, 0, 0, 0],
  [0, 0, 0, 3],
  [0],
  [0xc3],
  [0xf0, 0x9f, 0x98],
  [...Buffer.from('/*')],
  [...Buffer.from("E'\\")],
  [...Buffer.from('$q$')],
  [...Buffer.from('\\.\n')],
]

function shuffled(messages: readonly Buffer[], random: Random): Buffer[] {
  const left = [...messages]
  const taken: Buffer[] = []
  while (left.length > 0) taken.push(...left.splice(random.below(left.length), 1))
  return taken
}

function isWhole(bytes: Buffer): boolean {
  let at = 0
  while (at + 5 <= bytes.length) {
    const length = bytes.readInt32BE(at + 1)
    if (length < 4) return false
    at += 1 + length
  }
  return at === bytes.length
}
