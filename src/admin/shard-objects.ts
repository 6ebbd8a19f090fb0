/**
 * Everything but tables that a database has on shards: schemas, extensions, types, functions, operators, casts, privileges. Read from a shard that
 * has them, since what is made there is not always what the shell has (a trigger's function asks for the transaction's time).
 *
 * They are made in the order in which they were made there; what needs something that is not there yet is tried again after the others. What is
 * of a kind that is not made here is found missing by the comparison (shard-compare.ts), and the shard does not join.
 */
import { refuse, SqlError } from '../base/errors.ts'
import { quoteLiteral } from '../base/quote.ts'
import { givesWay } from './database-change.ts'
import type { SchemaChange } from '../executor/schema/schema-change.ts'

/** Users' schemas, and what in them is no extension's. */
export const ofUser = (schema: string) => `${schema} !~ '^pg_' AND ${schema} NOT IN ('information_schema', 'pgherd', 'pgherd_data')`
export const noExtensions = (catalog: string, oid: string) => `NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = '${catalog}'::regclass AND e.objid = ${oid} AND e.deptype = 'e')`

/** GRANTs of an acl, with the owner's own rights and those of PUBLIC taken away first, where anybody has changed them. */
const grants = (what: string, acl: string, owner: string) => `CASE WHEN ${acl} IS NULL THEN '' ELSE
  format('; REVOKE ALL ON %1$s FROM PUBLIC; REVOKE ALL ON %1$s FROM %2$I', ${what}, pg_get_userbyid(${owner})) || coalesce((SELECT string_agg(
    format('; GRANT %s ON %s TO %s%s', x.privilege_type, ${what}, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END, CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '' ORDER BY x.grantee, x.privilege_type)
    FROM aclexplode(${acl}) x), '') END`

const schemas = `
  SELECT 0 AS stage, n.oid, format('CREATE SCHEMA IF NOT EXISTS %1$I; ALTER SCHEMA %1$I OWNER TO %2$I', n.nspname, pg_get_userbyid(n.nspowner)) || ${grants(`format('SCHEMA %I', n.nspname)`, 'n.nspacl', 'n.nspowner')} AS text
  FROM pg_namespace n WHERE ${ofUser('n.nspname')} AND ${noExtensions('pg_namespace', 'n.oid')}`

const extensions = `
  SELECT 1, e.oid, format('CREATE EXTENSION IF NOT EXISTS %I WITH SCHEMA %I VERSION %L', e.extname, n.nspname, e.extversion)
  FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace WHERE e.oid >= 16384`

const collations = `
  SELECT 2, c.oid, format('CREATE COLLATION %I.%I (PROVIDER = %s, %s, DETERMINISTIC = %s); ALTER COLLATION %1$I.%2$I OWNER TO %6$I', n.nspname, c.collname,
    CASE c.collprovider WHEN 'c' THEN 'libc' WHEN 'i' THEN 'icu' ELSE 'builtin' END,
    CASE WHEN c.collprovider = 'c' THEN format('LC_COLLATE = %L, LC_CTYPE = %L', c.collcollate, c.collctype) ELSE format('LOCALE = %L', coalesce(to_jsonb(c) ->> 'colllocale', to_jsonb(c) ->> 'colliculocale')) END,
    c.collisdeterministic::text, pg_get_userbyid(c.collowner))
  FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace WHERE ${ofUser('n.nspname')} AND ${noExtensions('pg_collation', 'c.oid')}`

const column = `format('%I %s%s', a.attname, format_type(a.atttypid, a.atttypmod), (SELECT format(' COLLATE %I.%I', cn.nspname, l.collname) FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace JOIN pg_type ty ON ty.oid = a.atttypid WHERE l.oid = a.attcollation AND a.attcollation <> ty.typcollation))`

const domain = `format('CREATE DOMAIN %I.%I AS %s%s%s%s%s', n.nspname, t.typname, format_type(t.typbasetype, t.typtypmod),
  (SELECT format(' COLLATE %I.%I', cn.nspname, l.collname) FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace JOIN pg_type b ON b.oid = t.typbasetype WHERE l.oid = t.typcollation AND t.typcollation <> b.typcollation),
  ' DEFAULT ' || t.typdefault, CASE WHEN t.typnotnull THEN ' NOT NULL' END,
  (SELECT string_agg(format(' CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), '' ORDER BY k.oid) FROM pg_constraint k WHERE k.contypid = t.oid AND k.contype = 'c'))`

const range = `(SELECT format('CREATE TYPE %I.%I AS RANGE (SUBTYPE = %s, SUBTYPE_OPCLASS = %I.%I%s%s%s%s)', n.nspname, t.typname, format_type(r.rngsubtype, NULL), opn.nspname, o.opcname,
    (SELECT format(', COLLATION = %I.%I', cn.nspname, l.collname) FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace WHERE l.oid = r.rngcollation),
    CASE WHEN r.rngcanonical <> 0 THEN ', CANONICAL = ' || r.rngcanonical::regproc END, CASE WHEN r.rngsubdiff <> 0 THEN ', SUBTYPE_DIFF = ' || r.rngsubdiff::regproc END,
    (SELECT format(', MULTIRANGE_TYPE_NAME = %I.%I', mn.nspname, m.typname) FROM pg_type m JOIN pg_namespace mn ON mn.oid = m.typnamespace WHERE m.oid = r.rngmultitypid))
  FROM pg_range r JOIN pg_opclass o ON o.oid = r.rngsubopc JOIN pg_namespace opn ON opn.oid = o.opcnamespace WHERE r.rngtypid = t.oid)`

const types = `
  SELECT 3, t.oid, CASE t.typtype
      WHEN 'e' THEN format('CREATE TYPE %I.%I AS ENUM (%s)', n.nspname, t.typname, (SELECT string_agg(quote_literal(l.enumlabel), ', ' ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid))
      WHEN 'c' THEN format('CREATE TYPE %I.%I AS (%s)', n.nspname, t.typname, (SELECT string_agg(${column}, ', ' ORDER BY a.attnum) FROM pg_attribute a WHERE a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped))
      WHEN 'd' THEN ${domain}
      ELSE ${range} END
    || format('; ALTER %s %I.%I OWNER TO %I', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.nspname, t.typname, pg_get_userbyid(t.typowner))
    || ${grants(`format('%s %I.%I', CASE t.typtype WHEN 'd' THEN 'DOMAIN' ELSE 'TYPE' END, n.nspname, t.typname)`, 't.typacl', 't.typowner')}
  FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace LEFT JOIN pg_class c ON c.oid = t.typrelid
  WHERE ${ofUser('n.nspname')} AND t.typtype IN ('e', 'c', 'd', 'r') AND coalesce(c.relkind, 'c') = 'c' AND ${noExtensions('pg_type', 't.oid')}`

const signature = `format('ROUTINE %I.%I(%s)', n.nspname, p.proname, pg_get_function_identity_arguments(p.oid))`

const functions = `
  SELECT 4, p.oid, pg_get_functiondef(p.oid) || format('; ALTER %s OWNER TO %I', ${signature}, pg_get_userbyid(p.proowner)) || ${grants(signature, 'p.proacl', 'p.proowner')}
  FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE ${ofUser('n.nspname')} AND p.prokind <> 'a' AND ${noExtensions('pg_proc', 'p.oid')}`

const qualifiedType = (oid: string) => `CASE WHEN ${oid} = 0 THEN 'NONE' ELSE format_type(${oid}, NULL) END`

const operators = `
  SELECT 5, o.oid, format('CREATE OPERATOR %I.%s (FUNCTION = %s%s%s%s%s%s%s%s%s); ALTER OPERATOR %1$I.%2$s (%12$s, %13$s) OWNER TO %14$I', n.nspname, o.oprname, o.oprcode::regproc,
    CASE WHEN o.oprleft <> 0 THEN ', LEFTARG = ' || format_type(o.oprleft, NULL) END, CASE WHEN o.oprright <> 0 THEN ', RIGHTARG = ' || format_type(o.oprright, NULL) END,
    (SELECT format(', COMMUTATOR = OPERATOR(%I.%s)', cn.nspname, c.oprname) FROM pg_operator c JOIN pg_namespace cn ON cn.oid = c.oprnamespace WHERE c.oid = o.oprcom),
    (SELECT format(', NEGATOR = OPERATOR(%I.%s)', cn.nspname, c.oprname) FROM pg_operator c JOIN pg_namespace cn ON cn.oid = c.oprnamespace WHERE c.oid = o.oprnegate),
    CASE WHEN o.oprrest <> 0 THEN ', RESTRICT = ' || o.oprrest::regproc END, CASE WHEN o.oprjoin <> 0 THEN ', JOIN = ' || o.oprjoin::regproc END,
    CASE WHEN o.oprcanhash THEN ', HASHES' END, CASE WHEN o.oprcanmerge THEN ', MERGES' END, ${qualifiedType('o.oprleft')}, ${qualifiedType('o.oprright')}, pg_get_userbyid(o.oprowner))
  FROM pg_operator o JOIN pg_namespace n ON n.oid = o.oprnamespace WHERE ${ofUser('n.nspname')} AND o.oprcode <> 0 AND ${noExtensions('pg_operator', 'o.oid')}`

const casts = `
  SELECT 6, c.oid, format('CREATE CAST (%s AS %s) %s%s', format_type(c.castsource, NULL), format_type(c.casttarget, NULL),
    CASE c.castmethod WHEN 'f' THEN 'WITH FUNCTION ' || c.castfunc::regprocedure WHEN 'i' THEN 'WITH INOUT' ELSE 'WITHOUT FUNCTION' END,
    CASE c.castcontext WHEN 'i' THEN ' AS IMPLICIT' WHEN 'a' THEN ' AS ASSIGNMENT' END)
  FROM pg_cast c WHERE c.oid >= 16384 AND ${noExtensions('pg_cast', 'c.oid')}`

const privileges = `
  SELECT 7, d.oid, CASE WHEN d.defaclnamespace = 0 THEN format('%1$s REVOKE ALL ON %2$s FROM PUBLIC; %1$s REVOKE ALL ON %2$s FROM %3$I', k.prefix, k.objects, pg_get_userbyid(d.defaclrole)) ELSE 'SELECT' END
    || coalesce((SELECT string_agg(format('; %s GRANT %s ON %s TO %s%s', k.prefix, x.privilege_type, k.objects, CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(x.grantee)) END,
         CASE WHEN x.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END), '') FROM aclexplode(d.defaclacl) x), '')
  FROM pg_default_acl d CROSS JOIN LATERAL (SELECT
      format('ALTER DEFAULT PRIVILEGES FOR ROLE %I%s', pg_get_userbyid(d.defaclrole), (SELECT format(' IN SCHEMA %I', n.nspname) FROM pg_namespace n WHERE n.oid = d.defaclnamespace)) AS prefix,
      CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' WHEN 'S' THEN 'SEQUENCES' WHEN 'f' THEN 'ROUTINES' WHEN 'T' THEN 'TYPES' WHEN 'n' THEN 'SCHEMAS' ELSE 'LARGE OBJECTS' END AS objects) k`

const objectsQuery = `SELECT text FROM (${[schemas, extensions, collations, types, functions, operators, casts].join(' UNION ALL ')}) o ORDER BY stage, oid`

export async function copyObjects(source: number, target: number, change: SchemaChange): Promise<void> {
  const { rows } = await change.onShard(source, objectsQuery)
  const { rows: found } = await change.onShard(source, `SELECT FROM pg_namespace WHERE nspname = 'public'`)
  if (found.length === 0) await change.onShard(target, 'DROP SCHEMA IF EXISTS public')
  await change.onShard(target, `SET LOCAL check_function_bodies = off; SET LOCAL client_min_messages = warning`)
  await makeAll(rows.map(([text]) => text ?? ''), target, change)
}

/** After the tables: what is made from then on has these privileges, and the tables have their own. */
export async function copyDefaultPrivileges(source: number, target: number, change: SchemaChange): Promise<void> {
  const { rows } = await change.onShard(source, `SELECT text FROM (${privileges}) d (stage, oid, text) ORDER BY oid`)
  for (const [text] of rows) await change.onShard(target, text ?? '')
}

/** Makes all of them, in any order that goes. */
export async function makeAll(texts: readonly string[], target: number, change: SchemaChange): Promise<void> {
  let left = texts
  while (left.length > 0) {
    const failed: { text: string; error: SqlError }[] = []
    for (const text of left) {
      await change.onShard(target, 'SAVEPOINT pgherd_object')
      try {
        await change.onShard(target, text)
      } catch (error) {
        if (!(error instanceof SqlError) || error.code.startsWith('08') || givesWay.has(error.code)) throw error
        failed.push({ text, error })
        await change.onShard(target, 'ROLLBACK TO pgherd_object')
      }
      await change.onShard(target, 'RELEASE pgherd_object')
    }
    const [first] = failed
    if (first !== undefined && failed.length === left.length) {
      throw new SqlError('0A000', `the shard cannot join database ${quoteLiteral(change.context.database)}: ${first.error.message}`, { detail: first.text, hint: first.error.fields.hint })
    }
    left = failed.map(({ text }) => text)
  }
}

export const cannotJoin = (database: string, reason: string) => refuse(`the shard cannot join database "${database}": ${reason}`)
