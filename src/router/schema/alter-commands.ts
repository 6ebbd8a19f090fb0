/** The sub-commands of an ALTER TABLE, each with its own text, and where each has to run. */
import { refuse } from '../../base/errors.ts'
import type { Relation, Snapshot } from '../../catalog/snapshot.ts'
import type { TableDefinition } from '../../executor/schema/table-definition.ts'
import { isLeafToLeaf } from '../../executor/schema/table-definition.ts'
import type { AlterTableStmt, AnyNode, RangeVar } from '../../sql/ast.ts'
import { nameEnd, nextToken, tokensWithDepth } from '../../sql/scanner.ts'
import type { SourceText } from '../../sql/source-text.ts'

export interface AlterCommand {
  readonly subtype: string
  /** The column, constraint or trigger that it names. */
  readonly name: string
  readonly def: AnyNode | undefined
  readonly text: string
}

/**
 * table: as it is, on the table. leaves: on each leaf of a distributed table. both: on the table, then on its leaves.
 * shell: shards have nothing of it. The others are done from the shell's definition.
 */
export type Place = 'table' | 'leaves' | 'both' | 'shell' | 'owner' | 'foreign-key' | 'no-default' | 'index-constraint'

export function alterCommands(source: SourceText, alter: AlterTableStmt): AlterCommand[] {
  const rangeVar = alter.relation as RangeVar
  let start = nameEnd(source.raw, rangeVar.location ?? 0)
  const star = nextToken(source.raw, start)
  if (star !== undefined && source.raw[star.start] === '*') start = star.end
  const texts: string[] = []
  let end = source.length
  for (const token of tokensWithDepth(source.raw, start)) {
    if (token.depth !== 0 || (token.text !== ',' && token.text !== ';')) continue
    if (token.text === ';') {
      end = token.start
      break
    }
    texts.push(source.between(start, token.start))
    start = token.end
  }
  texts.push(source.between(start, end))
  const commands = (alter.cmds ?? []).map((node) => (node as AnyNode).AlterTableCmd)
  if (commands.length !== texts.length) throw refuse('the ALTER TABLE could not be taken apart', 'Use a statement for each change.')
  return commands.map((command, i) => ({ subtype: command?.subtype ?? '', name: command?.name ?? '', def: command?.def as AnyNode | undefined, text: texts[i] ?? '' }))
}

const ofSequences = new Set(['AT_AddIdentity', 'AT_SetIdentity', 'AT_DropIdentity', 'AT_ReplicaIdentity'])
const ofStorage = new Set(['AT_SetRelOptions', 'AT_ResetRelOptions', 'AT_ReplaceRelOptions'])

export function placeOf(command: AlterCommand, relation: Relation, now: TableDefinition, snapshot: Snapshot): Place {
  const { subtype, def } = command
  const distributed = relation.table?.kind === 'distributed'
  if (ofSequences.has(subtype)) return 'shell'
  if (subtype === 'AT_ChangeOwner') return 'owner'
  if (subtype === 'AT_ColumnDefault' && setsSequence(def)) return 'no-default'
  // Rows that one server's crash takes away while the others keep theirs would be a part of the table: only a table that is whole may.
  if (subtype === 'AT_SetLogged' || subtype === 'AT_SetUnLogged') return relation.table?.kind === 'single' ? 'table' : 'shell'
  if (subtype === 'AT_AddConstraint' && def?.Constraint?.contype === 'CONSTR_FOREIGN') return distributed ? 'foreign-key' : 'table'
  if (!distributed) return 'table'
  if (subtype === 'AT_ClusterOn' || subtype === 'AT_DropCluster') return 'shell'
  if (ofStorage.has(subtype)) return 'leaves'
  if (subtype === 'AT_AddConstraint' && def?.Constraint?.indexname !== undefined) return 'index-constraint'
  if (subtype === 'AT_EnableTrigAll' || subtype === 'AT_DisableTrigAll') return 'both'
  if (subtype === 'AT_ValidateConstraint' || subtype === 'AT_AlterConstraint') {
    const name = command.name || def?.ATAlterConstraint?.conname
    const constraint = now.constraints.find((one) => one.name === name)
    return constraint !== undefined && isLeafToLeaf(relation, constraint, snapshot) ? 'leaves' : 'table'
  }
  return subtype === 'AT_DropConstraint' ? 'both' : 'table'
}

/** SET DEFAULT nextval(...): sequences are the catalog's, the router takes their values. */
function setsSequence(def: AnyNode | undefined): boolean {
  return def !== undefined && /"sval":"(nextval)"/.test(JSON.stringify(def))
}
