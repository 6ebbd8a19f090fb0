/** COPY's text format (manual, COPY, "Text Format"): tabs between columns, \N for NULL, backslash escapes. */

const escapes: Readonly<Record<string, number>> = { b: 8, f: 12, n: 10, r: 13, t: 9, v: 11 }

/** The values of one line, without its newline. */
export function decodeCopyLine(line: Buffer): (string | undefined)[] {
  const values: (string | undefined)[] = []
  let start = 0
  for (;;) {
    const tab = line.indexOf(9, start)
    values.push(decodeCopyField(line.subarray(start, tab < 0 ? line.length : tab)))
    if (tab < 0) return values
    start = tab + 1
  }
}

/** The value of column `index` of a line. */
export function copyField(line: Buffer, index: number): Buffer {
  let start = 0
  for (let i = 0; i < index; i++) {
    const tab = line.indexOf(9, start)
    if (tab < 0) return line.subarray(line.length)
    start = tab + 1
  }
  const end = line.indexOf(9, start)
  return line.subarray(start, end < 0 ? line.length : end)
}

export function decodeCopyField(field: Buffer): string | undefined {
  if (field.length === 2 && field[0] === 0x5c && field[1] === 0x4e) return undefined
  if (!field.includes(0x5c)) return field.toString()
  const out: number[] = []
  for (let i = 0; i < field.length; i++) {
    if (field[i] !== 0x5c || i + 1 === field.length) {
      out.push(field[i] as number)
      continue
    }
    const rest = field.toString('latin1', i + 1, i + 4)
    const octal = /^[0-7]{1,3}/.exec(rest)
    const hex = /^x([0-9a-fA-F]{1,2})/.exec(rest)
    if (octal !== null) {
      out.push(Number.parseInt(octal[0], 8) & 0xff)
      i += octal[0].length
    } else if (hex !== null) {
      out.push(Number.parseInt(hex[1] ?? '0', 16))
      i += hex[0].length
    } else {
      out.push(escapes[rest[0] ?? ''] ?? (field[i + 1] as number))
      i += 1
    }
  }
  return Buffer.from(out).toString()
}

const escapeOf: Readonly<Record<number, string>> = { 8: '\\b', 9: '\\t', 10: '\\n', 11: '\\v', 12: '\\f', 13: '\\r', 92: '\\\\' }
const mustEscape = /[\b\t\n\v\f\r\\]/g

/** A line with its newline, from values in text format. */
export function encodeCopyLine(values: readonly (Buffer | undefined)[]): Buffer {
  const fields = values.map((value) => {
    if (value === undefined) return '\\N'
    return value.toString('latin1').replace(mustEscape, (character) => escapeOf[character.charCodeAt(0)] ?? character)
  })
  return Buffer.from(`${fields.join('\t')}\n`, 'latin1')
}
