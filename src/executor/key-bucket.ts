/** The bucket that a key's value belongs to, at Bind. */
import { SqlError } from '../base/errors.ts'
import { quoteLiteral } from '../base/quote.ts'
import { bucketOfBinary, bucketOfNull, bucketOfText } from '../catalog/bucket-hash.ts'
import type { KeyType } from '../catalog/snapshot.ts'
import type { KeySource } from '../planner/plan.ts'
import { formatOf } from '../protocol/frontend-reader.ts'
import { query } from '../shard/query.ts'
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

/** The same for any spelling: PostgreSQL reads the value and writes it in the usual form. Throws its error if it can't. */
export async function bucketOf(source: KeySource, type: KeyType, buckets: number, args: Arguments, context: ExecutionContext): Promise<number> {
  const known = bucketAtOnce(source, type, buckets, args)
  if (known !== undefined) return known
  const text = source.kind === 'constant' ? source.text : source.kind === 'parameter' ? (args.bind.values[source.number - 1]?.toString() ?? '') : ''
  const connection = await context.pool.take(context.catalog, context.database, context.user)
  try {
    const { rows } = await query(connection, `SELECT ${quoteLiteral(text)}::${type}::text`)
    const bucket = bucketOfText(type, rows[0]?.[0] ?? '', buckets)
    if (bucket === undefined) throw new SqlError('XX000', `no bucket for a value of type ${type}`)
    return bucket
  } finally {
    context.pool.release(connection)
  }
}
