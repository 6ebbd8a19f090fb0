/**
 * Finds moves that are not over. Databases that this router serves, and those where some were found, are asked at every look, on connections
 * that are kept; all others now and then: a router that served them may have died with their moves.
 */
import type pg from 'pg'
import type { Clock } from '../base/clock.ts'
import { limits } from '../base/limits.ts'
import type { Credentials, ServerAddress } from '../catalog/server-address.ts'
import { withAdmin } from '../coordination/admin-client.ts'
import { clusterDatabase } from '../coordination/catalog-store.ts'
import { KeptClient } from '../coordination/kept-client.ts'
import type { Move } from './move.ts'
import { readUnfinished } from './move-requests.ts'

export interface MoveWatchParts {
  readonly catalog: ServerAddress
  readonly credentials: Credentials
  readonly clock: Clock
  /** Those that this router serves. */
  readonly databases?: (() => readonly string[]) | undefined
}

export class MoveWatch {
  private readonly parts: MoveWatchParts
  private readonly kept = new Map<string, KeptClient>()
  private readonly withMoves = new Set<string>()
  private everywhereAt = 0

  constructor(parts: MoveWatchParts) {
    this.parts = parts
  }

  /** By database. */
  async unfinished(): Promise<Map<string, Move[]>> {
    const { clock, databases } = this.parts
    const watched = new Set([...(databases?.() ?? []), ...this.withMoves])
    for (const [database, client] of this.kept) {
      if (watched.has(database)) continue
      client.close()
      this.kept.delete(database)
    }
    const found = new Map<string, Move[]>()
    const look = async (database: string, ask: () => Promise<Move[]>) => {
      const moves = await ask().catch(ifOfCluster)
      if (moves.length > 0) found.set(database, moves)
      if (moves.length > 0) this.withMoves.add(database)
      else this.withMoves.delete(database)
    }
    for (const database of watched) await look(database, () => this.client(database).ask(readUnfinished))
    if (clock.ticks() < this.everywhereAt) return found
    const all = await this.onCatalog('postgres', databaseNames)
    for (const database of all) if (!watched.has(database)) await look(database, () => this.onCatalog(database, readUnfinished))
    this.everywhereAt = clock.ticks() + limits.moverLookEverywhereMs
    return found
  }

  close(): void {
    for (const client of this.kept.values()) client.close()
  }

  private client(database: string): KeptClient {
    const { catalog, credentials, clock } = this.parts
    const known = this.kept.get(database) ?? new KeptClient({ server: catalog, database, credentials, answerMsMax: limits.serverAnswerMsMax, awayMs: 0, clock })
    this.kept.set(database, known)
    return known
  }

  private onCatalog<T>(database: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
    return withAdmin(this.parts.catalog, database, this.parts.credentials, work, limits.serverAnswerMsMax)
  }
}

/** A database that is not one of the cluster's, is an older one's, or has just been dropped has no moves. */
function ifOfCluster(error: Error & { code?: string }): Move[] {
  if (error.code === '42P01' || error.code === '3F000' || error.code === '42703' || error.code === '3D000') return []
  throw error
}

async function databaseNames(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ name: string }>('SELECT datname AS name FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname <> $1', [clusterDatabase])
  return rows.map(({ name }) => name)
}
