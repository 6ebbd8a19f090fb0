/** Who waits for whom on one server, as the server tells. */
import type pg from 'pg'
import { limits } from '../base/limits.ts'
import type { Clock } from '../base/clock.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { KeptClient } from '../coordination/kept-client.ts'
import { readPreparedName } from './branch.ts'
import { areInConflict } from './lock-modes.ts'
import type { Wait } from './wait-graph.ts'
import { preparedNode, processNode } from './wait-graph.ts'

interface WaitRow {
  readonly pid: number
  readonly since: string
  readonly mode: string
  /** 0 stands for what is prepared. */
  readonly blockers: readonly number[]
  /** Of those who hold the lock that is waited for. */
  readonly prepared: readonly { readonly mode: string; readonly name: string }[]
}

export class ServerWaits {
  readonly id: number
  private readonly clusterId: string
  private readonly client: KeptClient

  constructor(server: ServerAddress, clusterId: string, credentials: Credentials, clock: Clock) {
    this.id = server.id
    this.clusterId = clusterId
    this.client = new KeptClient({ server, database: 'postgres', credentials, answerMsMax: limits.deadlockAnswerMsMax, awayMs: limits.deadlockAwayMs, clock })
  }

  /** Waits of all processes, if one of `pids` waits; that alone costs the server little. Throws when the server does not answer. */
  async behind(pids: readonly number[]): Promise<readonly Wait[]> {
    return this.client.ask(async (client) => {
      const { rowCount } = await client.query(`SELECT FROM pg_catalog.pg_stat_activity WHERE pid = ANY ($1) AND wait_event_type = 'Lock'`, [pids])
      return rowCount === 0 ? [] : this.read(client)
    })
  }

  /** Waits of all processes. Throws when the server does not answer. */
  all(): Promise<readonly Wait[]> {
    return this.client.ask((client) => this.read(client))
  }

  close(): void {
    this.client.close()
  }

  private async read(client: pg.Client): Promise<Wait[]> {
    const { rows } = await client.query<WaitRow>(selectWaits)
    return rows.map((row): Wait => {
      const processes = row.blockers.filter((pid) => pid !== 0).map((pid) => processNode({ server: this.id, pid }))
      return { server: this.id, pid: row.pid, since: row.since, blockers: [...processes, ...this.preparedInTheWay(row)] }
    })
  }

  private preparedInTheWay({ blockers, mode, prepared }: WaitRow): string[] {
    if (!blockers.includes(0)) return []
    return prepared.flatMap((holder) => {
      const id = areInConflict(mode, holder.mode) ? readPreparedName(this.clusterId, holder.name)?.id : undefined
      return id === undefined ? [] : [preparedNode(id)]
    })
  }
}

/**
 * A wait that has only just begun has no start yet: the next look shows it. What is prepared holds its locks without a process, under the number
 * of the transaction that it was; its name is found by the lock of its own id.
 */
const selectWaits = `
  WITH locks AS MATERIALIZED (SELECT * FROM pg_catalog.pg_locks)
  SELECT w.pid, extract(epoch FROM w.waitstart)::text AS since, w.mode, pg_catalog.pg_blocking_pids(w.pid) AS blockers,
    coalesce((SELECT json_agg(json_build_object('mode', h.mode, 'name', p.gid))
      FROM locks h JOIN locks own ON own.pid IS NULL AND own.locktype = 'transactionid' AND own.virtualtransaction = h.virtualtransaction
        JOIN pg_catalog.pg_prepared_xacts p ON p.transaction = own.transactionid
      WHERE h.pid IS NULL AND h.granted AND h.locktype = w.locktype
        AND (h.database, h.relation, h.page, h.tuple, h.virtualxid, h.transactionid, h.classid, h.objid, h.objsubid)
          IS NOT DISTINCT FROM (w.database, w.relation, w.page, w.tuple, w.virtualxid, w.transactionid, w.classid, w.objid, w.objsubid)), '[]') AS prepared
  FROM locks w WHERE NOT w.granted AND w.pid IS NOT NULL AND w.waitstart IS NOT NULL`
