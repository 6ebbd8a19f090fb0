/** The bucket that a key's value belongs to, at Bind. */
import { SqlError } from '../base/errors.ts'
import { quoteLiteral } from '../base/quote.ts'
import { bucketOfBinary, bucketOfNull, bucketOfText } from '../catalog/bucket-hash.ts'
import type { KeyType } from '../catalog/snapshot.ts'
import type { KeyList, KeySource } from '../planner/plan.ts'
import { formatOf } from '../protocol/frontend-reader.ts'
import type { Connection } from '../shard/connection.ts'
import type { QueryResult } from '../shard/query.ts'
import { query, request } from '../shard/query.ts'
import { writeBind, writeExecute, writeParse, writeSync } from '../shard/requests.ts'
import type { Arguments, ExecutionContext } from './context.ts'

/** The bucket if it can be computed here; undefined for a spelling that only PostgreSQL should read. */
export function bucketAtOnce(source: KeySource, type: KeyType, buckets: number, args: Arguments): number | undefined {
  if (source.kind === 'null') return bucketOfNull
  if (source.kind === 'constant') return bucketOfText(type, source.text, buckets)
  const value = args.bind.values[source.number - 1]
  if (value === undefined) return bucketOfNull
  const format = formatOf(args.bind.parameterFormats, source.number - 1)
  if (format === 0) return bucketOfText(type, value.toString(), buckets)
  return bucketOfBinary(type, args.types[source.number - 1] ?? 0, value, buckets)
}

/** The shards that a plan runs on: those of the buckets of its keys, if it has any. */
export async function shardsFor({ keys, shards: all }: { keys: KeyList | undefined; shards: readonly number[] }, args: Arguments, context: ExecutionContext): Promise<readonly number[]> {
  if (keys === undefined) return all
  const owners = context.snapshot.groups.get(keys.group)?.owners ?? []
  const shards = new Set<number>()
  for (const source of keys.sources) shards.add(owners[await bucketOf(source, keys.keyType, owners.length, args, context)] ?? 0)
  return [...shards]
}

/** The same for any spelling: PostgreSQL reads the value and writes it in the usual form. Throws its error if it can't. */
export async function bucketOf(source: KeySource, type: KeyType, buckets: number, args: Arguments, context: ExecutionContext): Promise<number> {
  const known = bucketAtOnce(source, type, buckets, args)
  if (known !== undefined) return known
  const connection = await context.pool.take(context.catalog, context.database, context.user, context.transaction.waits)
  try {
    const { rows } = source.kind === 'parameter' ? await readParameter(connection, source.number, type, args) : await query(connection, `SELECT ${quoteLiteral(source.kind === 'constant' ? source.text : '')}::${type}::text`)
    const bucket = bucketOfText(type, rows[0]?.[0] ?? '', buckets)
    if (bucket === undefined) throw new SqlError('XX000', `no bucket for a value of type ${type}`)
    return bucket
  } catch (error) {
    throw error instanceof SqlError ? asOwn(error, source) : error
  } finally {
    context.pool.release(connection)
  }
}

/** In the format it came in, and by the type that the statement gives it. */
function readParameter(connection: Connection, number: number, type: KeyType, args: Arguments): Promise<QueryResult> {
  const format = formatOf(args.bind.parameterFormats, number - 1)
  return request(connection, (writer) => {
    writeParse(writer, '', `SELECT $1::${type}::text`, [args.types[number - 1] ?? 0])
    writeBind(writer, '', '', { parameterFormats: [format], values: [args.bind.values[number - 1]], resultFormats: [] })
    writeExecute(writer, '')
    writeSync(writer)
  })
}

/** The error as it would be without this question: its position is none of the client's, the parameter's number is. */
function asOwn({ code, message, fields }: SqlError, source: KeySource): SqlError {
  const isParameter = source.kind === 'parameter'
  const where = isParameter ? fields.where?.replace('parameter $1', `parameter $${source.number}`) : fields.where
  return new SqlError(code, message, { ...fields, where, position: undefined, stage: isParameter ? 'bind' : 'parse' })
}
