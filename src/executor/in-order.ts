/** Writes lock rows shard by shard, in one order: two of them at once wait for each other on the first, and do not deadlock. */
export async function inOrder<T>(shards: readonly number[], on: (shard: number) => Promise<T>): Promise<T[]> {
  const results: T[] = []
  for (const shard of [...shards].sort((a, b) => a - b)) results.push(await on(shard))
  return results
}
