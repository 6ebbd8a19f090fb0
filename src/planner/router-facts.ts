/**
 * What no database of the cluster holds and the router knows: rows of its own that a gather brings to the catalog.
 *
 *   pgherd.locks l   ->   (SELECT * FROM pgherd.lock_rows('pgherd_glocks')) AS l
 *
 * Its clients' sessions are another such fact: see session-facts.ts.
 */
import type { Relation } from '../catalog/snapshot.ts'
import type { Fetch } from './plan.ts'

export type RouterFact = 'sessions' | 'locks'

const columnsOf: Readonly<Record<RouterFact, readonly string[]>> = {
  sessions: 'pid datname usename application_name client_addr client_port backend_start xact_start query_start state_change state query server_pid'.split(' '),
  locks: ['name', 'holder', 'since', 'fence'],
}

const temporary = (fact: RouterFact) => `pgherd_g${fact}`

export function routerFetch(fact: RouterFact): Fetch {
  const columns = columnsOf[fact]
  return { temporary: temporary(fact), relation: relationOf(fact), columns, where: [], primaryKey: [], shards: [], markers: [], ofRouter: fact }
}

const readers: ReadonlyMap<string, RouterFact> = new Map([
  ['activity', 'sessions'],
  ['locks', 'sessions'],
  ['lock_rows', 'locks'],
])

/** The fact that a function of schema pgherd reads. Shards have no such function. */
export const routerFactOf = (name: string) => readers.get(name)

/** What stands for pgherd.locks. */
export const lockRows = `(SELECT * FROM pgherd.lock_rows('${temporary('locks')}'))`

/** The view of the shell that gives the rows their types. */
function relationOf(fact: RouterFact): Relation {
  return {
    oid: 0,
    schema: 'pgherd',
    name: fact,
    relkind: 'v',
    columns: columnsOf[fact].map((name, i) => ({ name, number: i + 1, typeOid: 25, type: 'text', baseType: 'text', collation: undefined, notNull: false, default: undefined, sequence: undefined, identity: '', generated: false })),
    primaryKey: [],
    viewDefinition: undefined,
    view: undefined,
    triggers: [],
    table: undefined,
  }
}
