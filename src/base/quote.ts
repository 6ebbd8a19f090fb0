/** SQL quoting. The results are safe whatever the session's standard_conforming_strings is. */

/** An identifier, always quoted: `a"b` gives `"a""b"`. */
export function quoteIdent(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A string constant: a backslash makes it an escape string, which reads the same under every setting. */
export function quoteLiteral(value: string): string {
  const body = value.replaceAll("'", "''")
  return value.includes('\\') ? ` E'${body.replaceAll('\\', '\\\\')}'` : `'${body}'`
}

export function qualified(schema: string, name: string): string {
  return `${quoteIdent(schema)}.${quoteIdent(name)}`
}
