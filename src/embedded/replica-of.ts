/** Makes a server anew as a replica of its shard's primary, which runs and is written to. Whatever it had is lost. */
import fs from 'node:fs'
import path from 'node:path'
import { copyRunning } from './base-copy.ts'
import type { EmbeddedShard } from './embedded-shard.ts'
import type { PostgresServer } from './postgres-server.ts'

export async function replicaOf(shard: EmbeddedShard, server: PostgresServer): Promise<void> {
  const { primary } = shard
  // Not to be stopped in order: it would wait for replicas, and it has nothing to say any more.
  await server.halt('SIGKILL')
  // What is left of an attempt that ends here counts as nothing.
  fs.rmSync(madeMark(server), { force: true })
  fs.rmSync(server.dataDir, { recursive: true, force: true })
  const slot = slotOf(server)
  await copyRunning(primary, server.dataDir, slot)
  server.follow(primary.port, slot)
  markMade(server)
  await server.start()
}

/** Slots and replicas are named by the folder, which no other server of the shard has. */
export function slotOf({ dataDir }: PostgresServer): string {
  return `pgherd_${path.basename(dataDir).replace(/[^a-z0-9]/g, '_')}`
}

const madeMark = ({ dataDir }: PostgresServer) => path.join(dataDir, 'pgherd.made')

/** The last thing done to a new server. */
export function markMade(server: PostgresServer): void {
  fs.writeFileSync(madeMark(server), '')
}

/** A crash in the middle of initdb, or of a copy, leaves a folder without the mark that it was finished. */
export function discardPartial(server: PostgresServer): void {
  if (fs.existsSync(server.dataDir) && !fs.existsSync(madeMark(server))) fs.rmSync(server.dataDir, { recursive: true, force: true })
}
