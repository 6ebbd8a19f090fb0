import type pg from 'pg'

/** COPY ... TO STDOUT with a client that knows nothing of it. Gives the lines. */
export function copyOut(client: pg.Client, text: string): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = []
    let failure: Error | undefined
    const ignore = () => undefined
    client.query({
      submit: (connection: { query(text: string): void }) => connection.query(text),
      handleRowDescription: ignore,
      handleDataRow: ignore,
      handleCommandComplete: ignore,
      handlePortalSuspended: ignore,
      handleEmptyQuery: ignore,
      handleCopyData: ({ chunk }: { chunk: Buffer }) => void chunks.push(chunk),
      handleError: (error: Error) => (failure = error),
      handleReadyForQuery: () => (failure === undefined ? resolve(Buffer.concat(chunks).toString().split('\n').slice(0, -1)) : reject(failure)),
    } as unknown as pg.Submittable)
  })
}
