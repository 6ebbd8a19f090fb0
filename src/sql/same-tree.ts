/** Whether two parse trees mean the same: all of them but where things stand in the text. */
const isPosition = (key: string) => key === 'location' || key.endsWith('_location') || key.endsWith('_start') || key.endsWith('_end') || key === 'stmt_len'

export function sameTree(one: unknown, other: unknown): boolean {
  if (one === other) return true
  if (typeof one !== 'object' || typeof other !== 'object' || one === null || other === null) return false
  if (Array.isArray(one) || Array.isArray(other)) {
    if (!Array.isArray(one) || !Array.isArray(other) || one.length !== other.length) return false
    return one.every((item, i) => sameTree(item, other[i]))
  }
  const [left, right] = [one as Record<string, unknown>, other as Record<string, unknown>]
  for (const key in left) if (!isPosition(key) && !sameTree(left[key], right[key])) return false
  // What only the other has; a key that is there without a value is as good as none.
  for (const key in right) if (!isPosition(key) && right[key] !== undefined && left[key] === undefined) return false
  return true
}
