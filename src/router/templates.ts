/**
 * Plans for texts that differ in their literals alone.
 *
 * A client that writes its values into the text (simple protocol) sends another text each time. A *template* is the plan of the
 * text with parameters in the place of its literals; for each text that is the same but for them, their values are put into the
 * plan. It is used where the plan cannot depend on the values: the statement goes whole to the shard of a key, or each row
 * of an INSERT goes to the shard of its own. That literals are constants of the statement, and nothing else, is proved by the
 * parser when the template is made: the trees are the same but for constants here and parameters there.
 */
import { limits } from '../base/limits.ts'
import { snapshotNumber } from '../catalog/snapshot-number.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { Arguments } from '../executor/context.ts'
import { planStatement } from '../planner/plan-statement.ts'
import type { InsertRowsPlan, KeySource, LeafText, OneShardPlan } from '../planner/plan.ts'
import type { NameContext } from '../planner/resolve.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { AnyNode } from '../sql/ast.ts'
import { isTree, walk } from '../sql/ast.ts'
import type { LiteralClass, LiteralFree } from '../sql/literal-free.ts'
import { literalValue } from '../sql/literal-free.ts'
import type { Statement } from '../sql/parse.ts'
import { parseOne } from '../sql/parse.ts'
import { SourceText } from '../sql/source-text.ts'
import type { KnownDescription } from './client-sink.ts'

/** A text with holes for literals: parts[0] literals[numbers[0]] parts[1] ... */
interface Filled {
  readonly parts: readonly string[]
  readonly numbers: readonly number[]
}

export class Template {
  /** With parameters in the place of literals. */
  readonly plan: OneShardPlan | InsertRowsPlan
  readonly types: readonly number[]
  /** Of the answer in text format. */
  description: KnownDescription | undefined
  private readonly texts = new Map<string, Filled>()

  constructor(plan: OneShardPlan | InsertRowsPlan, types: readonly number[]) {
    this.plan = plan
    this.types = types
  }

  /** The plan of the text with these literals. */
  fill(literals: readonly string[]): OneShardPlan | InsertRowsPlan {
    const { plan } = this
    const text = (template: string) => this.filled(template, literals)
    const leafText = ({ pieces, tableIds }: LeafText): LeafText => ({ pieces: pieces.map(text), tableIds })
    if (plan.kind === 'insert-rows') {
      const rows = plan.rows.map(({ values, key }) => ({ values: values.map(text), key: key === undefined ? undefined : asConstant(key, literals) }))
      return { ...plan, rows, tail: text(plan.tail) }
    }
    const { route, timed } = plan
    const own = route.kind === 'bucket' ? { ...route, key: asConstant(route.key, literals) } : route
    return { ...plan, route: own, text: leafText(plan.text), timed: timed === undefined ? undefined : leafText(timed) }
  }

  /** For the plan as it is: its parameters with the literals' values. */
  arguments(literals: readonly string[], promised: readonly FieldDescription[] | undefined): Arguments {
    const values = literals.map((literal) => Buffer.from(literalValue(literal)))
    return { types: this.types, bind: { parameterFormats: [], values, resultFormats: [] }, keep: true, portal: '', rowsMax: 0, isDescribed: promised !== undefined, promised }
  }

  private filled(template: string, literals: readonly string[]): string {
    let known = this.texts.get(template)
    if (known === undefined) {
      const pieces = template.split(/\$(\d+)/)
      known = { parts: pieces.filter((_, i) => i % 2 === 0), numbers: pieces.filter((_, i) => i % 2 === 1).map(Number) }
      this.texts.set(template, known)
    }
    let text = known.parts[0] ?? ''
    for (let i = 0; i < known.numbers.length; i++) text += `${literals[(known.numbers[i] as number) - 1]}${known.parts[i + 1]}`
    return text
  }
}

function asConstant(key: KeySource, literals: readonly string[]): KeySource {
  return key.kind === 'parameter' ? { kind: 'constant', text: literalValue(literals[key.number - 1] ?? '') } : key
}

/** What is known of one form of text: a template, or that it has none, or how often it was seen. */
interface Entry {
  readonly template: Template | undefined
  readonly isDecided: boolean
}

/** The templates for one way to read names (database, search path, role); the most recently used forms are kept. */
export class Templates {
  private schema = 0
  private recent = new Map<string, Entry>()
  private older = new Map<string, Entry>()

  find({ key, literals }: LiteralFree, snapshot: Snapshot): Template | undefined {
    this.onlyFor(snapshot)
    const entry = this.recent.get(key) ?? this.revive(key)
    return literals.some(isTime) ? undefined : entry?.template
  }

  /** Another schema makes other plans. */
  private onlyFor(snapshot: Snapshot): void {
    const schema = snapshotNumber(snapshot)
    if (this.schema === schema) return
    this.schema = schema
    this.recent.clear()
    this.older.clear()
  }

  /** After a text has run: the second of a form gets a template, if it can have one. */
  learn(shape: LiteralFree, statement: Statement, context: NameContext): void {
    this.onlyFor(context.snapshot)
    const entry = this.recent.get(shape.key)
    if (entry?.isDecided === true) return
    const template = entry === undefined ? undefined : makeTemplate(shape, statement, context)
    this.keep(shape.key, { template, isDecided: entry !== undefined })
  }

  private revive(key: string): Entry | undefined {
    const entry = this.older.get(key)
    if (entry !== undefined) this.keep(key, entry)
    return entry
  }

  private keep(key: string, entry: Entry): void {
    if (this.recent.size >= limits.templatesMax / 2) {
      this.older = this.recent
      this.recent = new Map()
    }
    this.recent.set(key, entry)
  }
}

/** All of a router's templates, by how names are found; those asked for long ago go. */
export class TemplateStore {
  private readonly stores = new Map<string, Templates>()

  of(key: string): Templates {
    const known = this.stores.get(key) ?? new Templates()
    this.stores.delete(key)
    this.stores.set(key, known)
    const [oldest] = this.stores.keys()
    if (this.stores.size > limits.namePathsMax && oldest !== undefined) this.stores.delete(oldest)
    return known
  }
}

/** 'now' is a time: a plan asks for it. */
const isTime = (literal: string) => /^'\s*now\s*'$/i.test(literal)

const typeOf: Readonly<Record<LiteralClass, number>> = { i: 23, l: 20, s: 0 }

function makeTemplate(shape: LiteralFree, statement: Statement, context: NameContext): Template | undefined {
  if (shape.parts.some((part) => part.includes('$')) || shape.literals.some(isTime)) return undefined
  const text = shape.parts.reduce((before, part, i) => `${before}$${i}${part}`)
  const types = shape.classes.map((one) => typeOf[one])
  try {
    const node = parseOne(text)
    if (!isSameBut(statement.node, node, shape.literals) || isReadOtherwise(node)) return undefined
    const { plan, unknownNames } = planStatement({ ...statement, source: new SourceText(text), node }, { ...context, parameterTypes: types })
    if (unknownNames || (plan.kind !== 'one-shard' && plan.kind !== 'insert-rows')) return undefined
    return namesEachOnce(plan, shape.literals.length) ? new Template(plan, types) : undefined
  } catch {
    // No statement with parameters there: then it is planned text by text.
    return undefined
  }
}

/**
 * The plan's text holds each parameter once, and nothing else that looks like one: what a view or a schema's name brings in may
 * hold "$1", which is no place for a literal.
 */
function namesEachOnce(plan: OneShardPlan | InsertRowsPlan, literals: number): boolean {
  const texts = plan.kind === 'insert-rows' ? [...plan.rows.flatMap(({ values }) => values), plan.tail] : plan.text.pieces
  const numbers = texts.flatMap((text) => [...text.matchAll(/\$(\d+)/g)].map(([, number]) => Number(number)))
  return numbers.length === literals && new Set(numbers).size === literals && numbers.every((number) => number >= 1 && number <= literals)
}

/**
 * A literal that means something else than a parameter with its value: ORDER BY 1 is the first column, and so in GROUP BY and
 * DISTINCT ON; a cast to a type with a modifier reads a literal by it, and '5'::interval hour is five hours.
 */
function isReadOtherwise(node: AnyNode): boolean {
  let found = false
  walk(node, (tree, key) => {
    if (key === 'SortBy' && isTree(tree.node) && tree.node.ParamRef !== undefined) found = true
    if (key === 'TypeCast' && isTree(tree.arg) && tree.arg.ParamRef !== undefined && isTree(tree.typeName) && tree.typeName.typmods !== undefined) found = true
    if ((key === 'groupClause' || key === 'distinctClause') && tree.ParamRef !== undefined) found = true
  })
  return found
}

const places = /^(location|stmt_len|stmt_location|rexpr_list_start|rexpr_list_end|list_start|list_end)$/

/** True when the trees are the same, but for constants in the first where the second has the parameters. */
function isSameBut(original: unknown, parameterized: unknown, literals: readonly string[]): boolean {
  if (Array.isArray(original)) {
    return Array.isArray(parameterized) && original.length === parameterized.length && original.every((item, i) => isSameBut(item, parameterized[i], literals))
  }
  if (!isTree(original) || !isTree(parameterized)) return original === parameterized
  if (isTree(parameterized.ParamRef)) return isConstant(original, literals[((parameterized.ParamRef.number as number | undefined) ?? 0) - 1])
  const keys = (tree: Readonly<Record<string, unknown>>) => Object.keys(tree).filter((key) => !places.test(key))
  const own = keys(original)
  return own.length === keys(parameterized).length && own.every((key) => key in parameterized && isSameBut(original[key], parameterized[key], literals))
}

function isConstant(tree: Readonly<Record<string, unknown>>, literal: string | undefined): boolean {
  const constant = tree.A_Const
  if (literal === undefined || Object.keys(tree).length !== 1 || !isTree(constant)) return false
  const { ival, fval, sval } = constant as { ival?: { ival?: number }; fval?: { fval?: string }; sval?: { sval?: string } }
  if (literal.startsWith("'")) return sval !== undefined && (sval.sval ?? '') === literalValue(literal)
  return ival !== undefined ? String(ival.ival ?? 0) === literal : fval?.fval === literal
}
