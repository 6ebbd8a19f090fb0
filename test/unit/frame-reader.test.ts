import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FrameReader } from '../../src/protocol/frame-reader.ts'

interface Frame {
  readonly type: number
  readonly payload: string
}

const bytesMax = 1000
const frames = fc.array(
  fc.record({
    type: fc.integer({ min: 1, max: 255 }),
    payload: fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes).toString('hex')),
  }),
  { maxLength: 12 },
)

function encode({ type, payload }: Frame): Buffer {
  const body = Buffer.from(payload, 'hex')
  return Buffer.concat([header(type, body.length + 4), body])
}

function header(type: number, length: number): Buffer {
  const head = Buffer.alloc(5)
  head[0] = type
  head.writeInt32BE(length, 1)
  return head
}

/** Cuts bytes where the weights say; each piece is overwritten after its push, as a reused read buffer would be. */
function pushInPieces(reader: FrameReader, bytes: Buffer, cuts: readonly number[]): void {
  const places = [...new Set(cuts.map((cut) => Math.floor(cut * bytes.length)))].sort((a, b) => a - b)
  let at = 0
  for (const place of [...places, bytes.length]) {
    const piece = Buffer.from(bytes.subarray(at, place))
    reader.push(piece)
    piece.fill(0xee)
    at = place
  }
}

function collector(into: Frame[]): FrameReader {
  return new FrameReader((type, buffer, start, end) => into.push({ type, payload: buffer.toString('hex', start, end) }), bytesMax)
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), { maxLength: 60 })

describe('FrameReader', () => {
  test('gives the same frames however the bytes are split', () => {
    fc.assert(
      fc.property(frames, cuts, (sent, where) => {
        const received: Frame[] = []
        pushInPieces(collector(received), Buffer.concat(sent.map(encode)), where)
        expect(received).toEqual(sent)
      }),
    )
  })

  test('gives the same frames byte by byte', () => {
    fc.assert(
      fc.property(frames, (sent) => {
        const received: Frame[] = []
        const reader = collector(received)
        for (const byte of Buffer.concat(sent.map(encode))) reader.push(Buffer.of(byte))
        expect(received).toEqual(sent)
      }),
      { numRuns: 30 },
    )
  })

  test('throws RangeError for an impossible length, and has given the frames before it', () => {
    const bad = fc.oneof(fc.integer({ min: -0x80000000, max: 3 }), fc.integer({ min: bytesMax + 1, max: 0x7fffffff }))
    fc.assert(
      fc.property(frames, bad, cuts, (sent, length, where) => {
        const received: Frame[] = []
        const reader = collector(received)
        const bytes = Buffer.concat([...sent.map(encode), header(0x51, length)])
        expect(() => pushInPieces(reader, bytes, where)).toThrow(RangeError)
        expect(received).toEqual(sent)
      }),
    )
  })

  test('takes a frame of exactly the longest length', () => {
    const received: Frame[] = []
    const frame = { type: 0x51, payload: Buffer.alloc(bytesMax - 4, 7).toString('hex') }
    collector(received).push(encode(frame))
    expect(received).toEqual([frame])
  })

  test('gives nothing more after stop, not even the frame that had begun', () => {
    fc.assert(
      fc.property(frames, fc.integer({ min: 0, max: 20 }), (sent, kept) => {
        const received: Frame[] = []
        const reader = collector(received)
        reader.push(encode({ type: 0x51, payload: '00'.repeat(30) }).subarray(0, kept))
        reader.stop()
        for (const frame of sent) reader.push(encode(frame))
        expect(received).toEqual([])
      }),
    )
  })

  test('stop inside a frame ends the same chunk', () => {
    let count = 0
    const reader: FrameReader = new FrameReader(() => {
      count++
      reader.stop()
    }, bytesMax)
    const frame = encode({ type: 0x58, payload: '' })
    reader.push(Buffer.concat([frame, frame, frame.subarray(0, 3)]))
    reader.push(frame)
    expect(count).toBe(1)
  })
})
