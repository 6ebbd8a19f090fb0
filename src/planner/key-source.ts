/** Which constants and parameters are values of a key. */
import type { KeyType } from '../catalog/snapshot.ts'
import type { AnyNode } from '../sql/ast.ts'
import { names } from '../sql/ast.ts'
import type { KeySource } from './plan.ts'
import type { NameContext } from './resolve.ts'

const typeFamily: Readonly<Record<string, string>> = {
  int2: 'int', int4: 'int', int8: 'int', smallint: 'int', integer: 'int', int: 'int', bigint: 'int',
  text: 'text', varchar: 'text', uuid: 'uuid', bpchar: 'bpchar', numeric: 'numeric', decimal: 'numeric', bytea: 'bytea',
}

/** Types of parameters, by OID. */
const oidFamily: Readonly<Record<number, string>> = { 20: 'int', 21: 'int', 23: 'int', 25: 'text', 1043: 'text', 705: 'text', 2950: 'uuid', 1042: 'bpchar', 1700: 'numeric', 17: 'bytea' }

/**
 * A constant or parameter that compares with a key of this type by the key's own equality; else undefined.
 *
 * A number with a fraction, say, makes `=` compare as numeric, where 1.0 equals 1 though their hashes differ.
 */
export function keySource(node: AnyNode, keyType: KeyType | undefined, context: NameContext, isCast = false): KeySource | undefined {
  if (node.ParamRef !== undefined) {
    const number = node.ParamRef.number ?? 0
    const family = oidFamily[context.parameterTypes[number - 1] ?? 0]
    const fits = family === undefined ? (context.parameterTypes[number - 1] ?? 0) === 0 : family === typeFamily[keyType ?? ''] || (isCast && family === 'text')
    return fits ? { kind: 'parameter', number } : undefined
  }
  const constant = node.A_Const
  if (constant !== undefined) {
    if (constant.isnull === true) return { kind: 'null' }
    const isInt = typeFamily[keyType ?? ''] === 'int'
    // Every literal number compares with a numeric as one.
    const isNumeric = keyType === 'numeric'
    if (constant.ival !== undefined) return isInt || isNumeric ? { kind: 'constant', text: String(constant.ival.ival ?? 0) } : undefined
    if (constant.sval !== undefined) return { kind: 'constant', text: constant.sval.sval ?? '' }
    // An integer too large for int4 is a Float to the grammar and an int8 to the analyser.
    if (constant.fval !== undefined && isNumeric) return { kind: 'constant', text: constant.fval.fval ?? '' }
    if (constant.fval !== undefined && isInt && /^-?\d{1,18}$/.test(constant.fval.fval ?? '')) return { kind: 'constant', text: constant.fval.fval ?? '' }
    return undefined
  }
  const cast = node.TypeCast
  if (cast?.arg === undefined || cast.typeName === undefined) return undefined
  const parts = names(cast.typeName.names as AnyNode[]).filter((part) => part !== 'pg_catalog')
  const hasModifier = (cast.typeName.typmods?.length ?? 0) > 0 || (cast.typeName.arrayBounds?.length ?? 0) > 0
  if (hasModifier || parts.length !== 1 || typeFamily[parts[0] ?? ''] !== typeFamily[keyType ?? '']) return undefined
  const inner = cast.arg as AnyNode
  if (inner.A_Const === undefined && inner.ParamRef === undefined) return undefined
  if (inner.A_Const?.fval !== undefined) return undefined
  return keySource(inner, keyType, context, true)
}
