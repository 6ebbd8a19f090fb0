/** What one side of the protocol writes, the other reads, however the bytes are cut; what is no message is refused and not misread. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SqlError } from '../../src/base/errors.ts'
import { readError, readErrorFields, writeErrorFields } from '../../src/protocol/error-fields.ts'
import { FrameReader } from '../../src/protocol/frame-reader.ts'
import { readBind, readExecute, readParse, readQuery, readTarget } from '../../src/protocol/frontend-reader.ts'
import { MessageWriter } from '../../src/protocol/message-writer.ts'
import { readDataRow, readRowDescription, writeRowDescription, writeTextRow } from '../../src/protocol/row-description.ts'
import { readStartUp, startUpSettings } from '../../src/router/start-up.ts'
import { writeBind, writeClose, writeDescribe, writeExecute, writeParse } from '../../src/shard/requests.ts'

/** No NUL, and no half of a pair: what a string of the protocol can hold. */
const text = fc.string({ unit: 'grapheme', maxLength: 40 }).filter((one) => !one.includes('\0'))
const oid = fc.integer({ min: 0, max: 0xffff_ffff })
const int16 = fc.integer({ min: -0x8000, max: 0x7fff })
const int32 = fc.integer({ min: -0x8000_0000, max: 0x7fff_ffff })
const value = fc.option(fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)), { nil: undefined })
const format = fc.constantFrom(0, 1)

interface Frame {
  readonly type: string
  readonly payload: Buffer
}

/** The frames in what was written, pushed in pieces whose buffers are overwritten at once. */
function frames(written: Buffer, cuts: readonly number[] = []): Frame[] {
  const found: Frame[] = []
  const reader = new FrameReader((type, buffer, start, end) => found.push({ type: String.fromCharCode(type), payload: Buffer.from(buffer.subarray(start, end)) }), 1 << 20)
  const places = [...new Set(cuts.map((cut) => Math.floor(cut * written.length)))].sort((a, b) => a - b)
  let at = 0
  for (const place of [...places, written.length]) {
    const piece = Buffer.from(written.subarray(at, place))
    reader.push(piece)
    piece.fill(0xee)
    at = place
  }
  return found
}

function payloadOf(write: (writer: MessageWriter) => void, cuts: readonly number[] = []): Buffer {
  const writer = new MessageWriter(16)
  write(writer)
  const [frame, ...more] = frames(writer.take(), cuts)
  expect(more).toEqual([])
  return frame?.payload ?? Buffer.alloc(0)
}

const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), { maxLength: 20 })

describe('what a client sends', () => {
  test('Parse', () => {
    fc.assert(
      fc.property(text, text, fc.array(oid, { maxLength: 8 }), cuts, (name, sql, types, where) => {
        const read = readParse(payloadOf((writer) => writeParse(writer, name, sql, types), where))
        expect({ ...read, parameterTypes: read.parameterTypes.map((type) => type >>> 0) }).toEqual({ name, text: sql, parameterTypes: types })
      }),
    )
  })

  test('Bind', () => {
    const bind = fc.array(value, { maxLength: 8 }).chain((values) =>
      fc.record({
        values: fc.constant(values),
        parameterFormats: fc.oneof(fc.constant([]), format.map((one) => [one]), fc.array(format, { minLength: values.length, maxLength: values.length })),
        resultFormats: fc.array(format, { maxLength: 5 }),
      }),
    )
    fc.assert(
      fc.property(text, text, bind, cuts, (portal, statement, given, where) => {
        fc.pre(given.parameterFormats.length <= 1 || given.parameterFormats.length === given.values.length)
        expect(readBind(payloadOf((writer) => writeBind(writer, portal, statement, given), where))).toEqual({ portal, statement, ...given })
      }),
    )
  })

  test('Execute, Describe, Close, Query', () => {
    fc.assert(
      fc.property(text, int32, fc.constantFrom('S' as const, 'P' as const), cuts, (name, rowsMax, kind, where) => {
        expect(readExecute(payloadOf((writer) => writeExecute(writer, name, rowsMax), where))).toEqual({ portal: name, rowsMax })
        expect(readTarget(payloadOf((writer) => writeDescribe(writer, kind, name), where), 'DESCRIBE')).toEqual({ kind, name })
        expect(readTarget(payloadOf((writer) => writeClose(writer, kind, name), where), 'CLOSE')).toEqual({ kind, name })
        expect(readQuery(payloadOf((writer) => writer.begin('Q').cstring(name).end(), where))).toBe(name)
      }),
    )
  })

  test('a payload of any bytes is read, or refused with an SQLSTATE', () => {
    const readers = [readParse, readBind, readExecute, readQuery, (payload: Buffer) => readTarget(payload, 'CLOSE')]
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), fc.constantFrom(...readers), (bytes, read) => {
        try {
          read(Buffer.from(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(SqlError)
          expect(['08P01', '22021']).toContain((error as SqlError).code)
        }
      }),
      { numRuns: 2000 },
    )
  })

  test('a payload that is cut off, or has more behind it, is refused', () => {
    fc.assert(
      fc.property(text, text, fc.array(value, { maxLength: 4 }), fc.double({ min: 0, max: 1, noNaN: true, maxExcluded: true }), (portal, statement, values, where) => {
        const payload = payloadOf((writer) => writeBind(writer, portal, statement, { parameterFormats: [], values, resultFormats: [] }))
        expect(() => readBind(payload.subarray(0, Math.floor(where * payload.length)))).toThrow(SqlError)
        expect(() => readBind(Buffer.concat([payload, Buffer.of(0)]))).toThrow(SqlError)
      }),
    )
  })

  test('a start-up packet, however much of it has come', () => {
    const names = fc.stringMatching(/^[a-z_]{1,12}$/)
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 0xffff }), fc.uniqueArray(fc.tuple(names, text), { maxLength: 6, selector: ([name]) => name }), (minor, pairs) => {
        const body = Buffer.from(`${pairs.map(([name, one]) => `${name}\0${one}\0`).join('')}\0`)
        const packet = Buffer.alloc(8)
        packet.writeInt32BE(8 + body.length, 0)
        packet.writeUInt32BE((3 << 16) + minor, 4)
        const whole = Buffer.concat([packet, body, Buffer.from('behind')])
        for (let length = 0; length < 8 + body.length; length++) expect(readStartUp(whole.subarray(0, length), new Set())).toBeUndefined()
        expect(readStartUp(whole, new Set())).toEqual({ request: { kind: 'start', minor, parameters: new Map(pairs) }, length: 8 + body.length })
      }),
    )
  })

  test('settings in options: what was escaped comes out as it was', () => {
    const setting = fc.string({ minLength: 1, maxLength: 20 }).filter((one) => !/[\0']/.test(one))
    fc.assert(
      fc.property(setting, (one) => {
        const settings = startUpSettings(new Map([['options', `-c geqo=off -c my.own=${one.replace(/[\\\s]/g, '\\$&')} --work_mem=5MB`]]))
        expect([...settings.keys()]).toEqual(['geqo', 'my.own', 'work_mem'])
        expect(settings.get('my.own')?.replaceAll('\\\\', '\\')).toContain(one)
      }),
    )
  })
})

describe('what a server sends', () => {
  test('errors and notices, every field of them', () => {
    const fieldNames = ['detail', 'hint', 'position', 'internalPosition', 'internalQuery', 'where', 'schema', 'table', 'column', 'dataType', 'constraint', 'file', 'line', 'routine'] as const
    const more = fc.dictionary(fc.constantFrom(...fieldNames), text)
    fc.assert(
      fc.property(fc.constantFrom('ERROR', 'FATAL', 'NOTICE'), fc.stringMatching(/^[0-9A-Z]{5}$/), text, more, cuts, (severity, code, message, given, where) => {
        const fields = { ...given, severity, code, message }
        const payload = payloadOf((writer) => writeErrorFields(writer, 'E', fields), where)
        expect(readErrorFields(payload, 0, payload.length)).toEqual(fields)
        expect(readError(payload, 0, payload.length).fields).toEqual(fields)
      }),
    )
  })

  test('row descriptions', () => {
    const field = fc.record({ name: text, tableOid: oid, columnNumber: int16, typeOid: oid, typeSize: int16, typeModifier: int32, format })
    fc.assert(
      fc.property(fc.array(field, { maxLength: 8 }), cuts, (fields, where) => {
        expect(readRowDescription(payloadOf((writer) => writeRowDescription(writer, fields), where), 0)).toEqual(fields)
      }),
    )
  })

  test('rows', () => {
    fc.assert(
      fc.property(fc.array(fc.option(text, { nil: undefined }), { maxLength: 8 }), cuts, (values, where) => {
        const row = readDataRow(payloadOf((writer) => writeTextRow(writer, values), where), 0)
        expect(row.map((one) => one?.toString())).toEqual(values)
      }),
    )
  })

  test('frames one after the other in one writer are the frames that were written', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.constantFrom('D', 'C', 'd', 'Z'), fc.uint8Array({ maxLength: 3000 })), { maxLength: 30 }), cuts, (given, where) => {
        const writer = new MessageWriter(8)
        for (const [type, bytes] of given) writer.frame(type.charCodeAt(0), Buffer.from(bytes), 0, bytes.length)
        expect(writer.size).toBe(given.reduce((sum, [, bytes]) => sum + 5 + bytes.length, 0))
        expect(frames(writer.take(), where)).toEqual(given.map(([type, bytes]) => ({ type, payload: Buffer.from(bytes) })))
        expect(writer.size).toBe(0)
      }),
    )
  })
})
