/**
 * Makes what shards say look as if one PostgreSQL had said it: OIDs of tables and types become the shell's, and names of
 * leaves and their constraints become those of the user's table.
 */
import { SqlError } from '../base/errors.ts'
import type { ServerAddress } from '../catalog/server-address.ts'
import { catalogId } from '../catalog/server-address.ts'
import type { Snapshot } from '../catalog/snapshot.ts'
import type { FieldDescription } from '../protocol/row-description.ts'
import type { Pool, Waits } from '../shard/pool.ts'
import { query } from '../shard/query.ts'
import { quoteLiteral } from '../base/quote.ts'

/** Tables and types of users; a leaf appears under the id of its table. */
const namesQuery = `
  SELECT 'c', c.oid::int8, n.nspname, c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE c.oid >= 16384 AND c.relkind IN ('r', 'p', 'v', 'm', 'f') AND n.nspname NOT LIKE 'pg\\_toast%'
  UNION ALL
  SELECT 't', t.oid::int8, n.nspname, t.typname FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
  WHERE t.oid >= 16384 AND n.nspname NOT LIKE 'pg\\_toast%'`

export type Translate = (fields: readonly FieldDescription[]) => readonly FieldDescription[]

interface OidMap {
  readonly version: number
  readonly tables: ReadonlyMap<number, number>
  readonly types: ReadonlyMap<number, number>
}

/** Where PostgreSQL refuses a row that is not its partition's, or that a trigger took to another. */
const leavesPartition = new Set(['ExecPartitionCheckEmitError', 'ExecBRInsertTriggers', 'ExecFindPartition'])

const firstUserOid = 16384

export class ShellNames {
  private readonly pool: Pool
  private readonly catalog: ServerAddress
  private readonly maps = new Map<string, OidMap>()

  constructor(pool: Pool, catalog: ServerAddress) {
    this.pool = pool
    this.catalog = catalog
  }

  /** The translation of RowDescriptions of a shard if it is at hand: the hot path does without a promise. */
  translation(server: ServerAddress, snapshot: Snapshot): Translate | undefined {
    const map = this.maps.get(`${server.id}\0${snapshot.database}`)
    return map?.version === snapshot.version ? (fields) => translate(map, fields) : undefined
  }

  /** Loads the OIDs of a shard and of the shell, once for each version of the schema. */
  async loadTranslation(server: ServerAddress, snapshot: Snapshot, user: string, waits: Waits): Promise<Translate> {
    const [here, shell] = await Promise.all([this.load(server, snapshot.database, user, waits), this.load(this.catalog, snapshot.database, user, waits)])
    const tables = new Map<number, number>()
    const types = new Map<number, number>()
    const relationOf = new Map([...snapshot.relations.values()].flatMap((relation) => (relation.table === undefined ? [] : [[relation.table.id, relation] as const])))
    for (const [key, oid] of here) {
      const target = key.startsWith('c') ? tables : types
      const leaf = /^([ct])pgherd_data\0t(\d+)_b\d+$/.exec(key)
      const relation = leaf === null ? undefined : relationOf.get(Number(leaf[2]))
      const shellKey = relation === undefined ? key : `${leaf?.[1]}${relation.schema}\0${relation.name}`
      target.set(oid, shell.get(shellKey) ?? 0)
    }
    const map = { version: snapshot.version, tables, types }
    this.maps.set(`${server.id}\0${snapshot.database}`, map)
    return (fields) => translate(map, fields)
  }

  private async load(server: ServerAddress, database: string, user: string, waits: Waits): Promise<Map<string, number>> {
    const connection = await this.pool.take(server, database, user, waits)
    try {
      const { rows } = await query(connection, namesQuery)
      return new Map(rows.map(([kind, oid, schema, name]) => [`${kind}${schema}\0${name}`, Number(oid)]))
    } finally {
      this.pool.release(connection)
    }
  }

  /** An error of a shard, with the user's names in it. */
  async translateError(error: SqlError, server: ServerAddress, snapshot: Snapshot, user: string): Promise<SqlError> {
    if (server.id === catalogId) return error
    const { fields } = error
    const texts = [fields.message, fields.detail, fields.constraint, fields.table, fields.where].join(' ')
    const leaf = /\bt(\d+)_b(\d+)/.exec(texts)
    if (leaf === null) return error
    const nameOf = (id: number) => [...snapshot.relations.values()].find((one) => one.table?.id === id)?.name
    const relation = [...snapshot.relations.values()].find((one) => one.table?.id === Number(leaf[1]))
    if (relation === undefined) return error
    if (relation.triggers.length > 0 && leavesPartition.has(fields.routine ?? '')) {
      return new SqlError('0A000', `a trigger changed the shard key "${relation.table?.keyColumn}" of a row of "${relation.name}"`, {
        detail: 'A row goes to the shard of the key that the statement gives, and triggers run there.',
        hint: 'Give the key as the trigger would make it.',
      })
    }
    const constraint = fields.constraint === undefined ? undefined : await this.parentConstraint(fields.constraint, leaf[0], server, snapshot, user)
    const rename = (text: string | undefined) => {
      if (text === undefined) return undefined
      const named = fields.constraint === undefined || constraint === undefined ? text : text.replaceAll(fields.constraint, constraint)
      return named.replace(/(?:\bpgherd_data\.)?\bt(\d+)_b\d+\b/g, (whole, id: string) => nameOf(Number(id)) ?? whole)
    }
    return new SqlError(fields.code, rename(fields.message) ?? '', {
      ...fields,
      detail: rename(fields.detail),
      where: rename(fields.where),
      schema: fields.schema === 'pgherd_data' ? relation.schema : fields.schema,
      table: rename(fields.table),
      constraint: constraint ?? fields.constraint,
    })
  }

  private async parentConstraint(constraint: string, leaf: string, server: ServerAddress, snapshot: Snapshot, user: string): Promise<string | undefined> {
    const connection = await this.pool.take(server, snapshot.database, user)
    try {
      const { rows } = await query(
        connection,
        `SELECT p.conname FROM pg_constraint c JOIN pg_constraint p ON p.oid = c.conparentid
         WHERE c.conname = ${quoteLiteral(constraint)} AND c.conrelid = to_regclass('pgherd_data.${leaf}')
         UNION ALL
         SELECT p.relname FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid JOIN pg_class p ON p.oid = i.inhparent
         WHERE c.relname = ${quoteLiteral(constraint)} AND c.relnamespace = 'pgherd_data'::regnamespace
         LIMIT 1`,
      )
      return rows[0]?.[0]
    } catch {
      return undefined
    } finally {
      this.pool.release(connection)
    }
  }
}

function translate(map: OidMap, fields: readonly FieldDescription[]): readonly FieldDescription[] {
  if (!fields.some((field) => field.tableOid >= firstUserOid || field.typeOid >= firstUserOid)) return fields
  return fields.map((field) => {
    const tableOid = field.tableOid < firstUserOid ? field.tableOid : (map.tables.get(field.tableOid) ?? 0)
    const typeOid = field.typeOid < firstUserOid ? field.typeOid : (map.types.get(field.typeOid) ?? field.typeOid)
    return { ...field, tableOid, columnNumber: tableOid === 0 ? 0 : field.columnNumber, typeOid }
  })
}
