import pg from 'pg'

const questions = {
  shards: 'SELECT * FROM pgherd.shards ORDER BY id, role, port',
  tables: 'SELECT * FROM pgherd.tables ORDER BY table_name',
}

/** Asks a running router what the cluster looks like, and prints it as tables or as JSON. */
export async function printStatus(host: string, port: number, json: boolean): Promise<void> {
  const client = new pg.Client({ host, port, user: 'postgres', database: 'postgres' })
  await client.connect().catch((error: Error) => {
    throw new Error(`no router answers on ${host}:${port} (${error.message})`)
  })
  try {
    const answers: Record<string, Record<string, unknown>[]> = {}
    for (const [name, sql] of Object.entries(questions)) answers[name] = (await client.query<Record<string, unknown>>(sql)).rows
    if (json) process.stdout.write(`${JSON.stringify(answers, undefined, 2)}\n`)
    else for (const [name, rows] of Object.entries(answers)) process.stdout.write(`${name}\n${asTable(rows)}\n`)
  } finally {
    await client.end()
  }
}

function asTable(rows: readonly Record<string, unknown>[]): string {
  const columns = Object.keys(rows[0] ?? {})
  const lines = [columns, ...rows.map((row) => columns.map((column) => String(row[column] ?? '')))]
  const widths = columns.map((_, i) => Math.max(...lines.map((line) => (line[i] ?? '').length)))
  return lines.map((line) => `  ${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd()).join('\n')
}
