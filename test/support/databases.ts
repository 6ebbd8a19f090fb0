import { randomBytes } from 'node:crypto'
import { WireClient } from './wire-client.ts'

/** Makes a database with a name that no other test has, and gives the name. */
export async function createDatabase(port: number, prefix: string): Promise<string> {
  const name = `${prefix}_${randomBytes(6).toString('hex')}`
  const client = await WireClient.connect({ port, database: 'postgres' })
  try {
    const result = await client.query(`CREATE DATABASE ${name}`)
    if (result.error !== undefined) throw new Error(`cannot create ${name}: ${result.error.message}`)
  } finally {
    client.close()
  }
  return name
}
