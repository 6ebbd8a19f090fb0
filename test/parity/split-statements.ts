export interface CaseStatement {
  /** Counted from 1 within its file. */
  readonly number: number
  readonly line: number
  readonly sql: string
}

/** A statement ends at a semicolon that ends a line, unless a dollar quote is open there. */
export function splitStatements(text: string): CaseStatement[] {
  const statements: CaseStatement[] = []
  let lines: string[] = []
  let firstLine = 0
  for (const [i, line] of text.split('\n').entries()) {
    if (lines.length === 0 && (line.trim() === '' || line.startsWith('--'))) continue
    if (lines.length === 0) firstLine = i + 1
    lines.push(line)
    const sql = lines.join('\n')
    if (!line.trimEnd().endsWith(';') || insideDollarQuote(sql)) continue
    statements.push({ number: statements.length + 1, line: firstLine, sql })
    lines = []
  }
  if (lines.length > 0) throw new Error(`a statement from line ${firstLine} on has no end`)
  return statements
}

function insideDollarQuote(sql: string): boolean {
  let open: string | undefined
  for (const [tag] of sql.matchAll(/\$(?:[A-Za-z_]\w*)?\$/g)) {
    if (open === undefined) open = tag
    else if (tag === open) open = undefined
  }
  return open !== undefined
}
