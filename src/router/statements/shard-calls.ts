/** pgherd.add_shard() and what else operators ask of shards that come and go, and Citus's names for it. */
import { addNewShard, addShard } from '../../admin/shard-add.ts'
import { drainShard, undrainShard } from '../../admin/shard-drain.ts'
import type { ShardParts } from '../../admin/shard-parts.ts'
import type { HostPort } from '../../admin/shard-record.ts'
import { shardAt } from '../../admin/shard-record.ts'
import { removeShard } from '../../admin/shard-remove.ts'
import { refuse, SqlError } from '../../base/errors.ts'
import { quoteLiteral } from '../../base/quote.ts'
import type { Session } from '../session.ts'
import type { Parameter } from './call-arguments.ts'
import type { OperatorAnswer, OperatorCall, OperatorCalls } from './operator-call.ts'
import { nothing, number } from './operator-call.ts'

type Values = ReadonlyMap<string, string | undefined>

const text = (value: string): OperatorAnswer => ({ kind: 'value', expression: `${quoteLiteral(value)}::pg_catalog.text` })

export const shardCalls: OperatorCalls = {
  add_shard: {
    parameters: [
      { name: 'host', type: 'text' },
      { name: 'port', type: 'integer' },
      { name: 'replicas', type: 'text', isOptional: true },
    ],
    gives: 'value',
    acts: true,
    run: async (values, { services }) => {
      if (values.get('host') === undefined && values.get('port') === undefined) return text((await addNewShard(services.shards)).name)
      const replicas = (values.get('replicas') ?? '').split(',').map((one) => one.trim()).filter((one) => one !== '').map(hostPort)
      return text((await addShard([serverOf(values, 'host', 'port'), ...replicas], services.shards)).name)
    },
  },
  drain_shard: named(drainShard),
  undrain_shard: named(undrainShard),
  remove_shard: named(removeShard),
}

const node: readonly Parameter[] = [
  { name: 'nodename', type: 'text' },
  { name: 'nodeport', type: 'integer' },
]

export const citusShardCalls: OperatorCalls = {
  citus_add_node: {
    parameters: [...node, { name: 'groupid', type: 'integer', isOptional: true }, { name: 'noderole', type: 'text', isOptional: true }, { name: 'nodecluster', type: 'text', isOptional: true }],
    gives: 'value',
    acts: true,
    run: async (values, { services }) => {
      if ((values.get('noderole') ?? 'primary') !== 'primary') throw refuse('only primaries are added as nodes', 'SELECT pgherd.add_shard(host, port, replicas) adds a shard with its replicas.')
      const { expression } = number((await addShard([serverOf(values, 'nodename', 'nodeport')], services.shards)).id) as { expression: string }
      return { kind: 'value', expression: `(${expression})::pg_catalog.int4` }
    },
  },
  citus_remove_node: {
    parameters: node,
    gives: 'value',
    acts: true,
    run: async (values, session) => {
      await removeShard(await nameAt(values, session), session.services.shards)
      return nothing
    },
  },
  citus_get_active_worker_nodes: {
    parameters: [],
    gives: 'rows',
    acts: false,
    run: async (_values, { services }) => {
      await services.shards.list.refresh()
      const active = services.store.servers.filter(({ role, state }) => role === 'primary' && (state === 'active' || state === 'draining'))
      return { kind: 'rows', columns: { node_name: 'text', node_port: 'bigint' }, rows: active.map(({ host, port }) => ({ node_name: host, node_port: port })) }
    },
  },
}

/** Of a shard that is there, by its name or its number. */
function named(work: (name: string, parts: ShardParts) => Promise<void>): OperatorCall {
  return {
    parameters: [{ name: 'shard', type: 'text' }],
    gives: 'value',
    acts: true,
    run: async (values, { services }) => {
      const name = values.get('shard')
      if (name === undefined) throw new SqlError('22004', 'shard cannot be NULL')
      await work(name, services.shards)
      return text(name)
    },
  }
}

async function nameAt(values: Values, { services }: Session): Promise<string> {
  const { host, port } = serverOf(values, 'nodename', 'nodeport')
  const shard = await shardAt({ host, port }, services.shards)
  if (shard === undefined) throw new SqlError('42704', `node at "${host}:${port}" does not exist`)
  return String(shard.id)
}

function serverOf(values: Values, host: string, port: string): HostPort {
  const [name, number_] = [values.get(host), values.get(port)]
  if (name === undefined || number_ === undefined) throw new SqlError('22004', `${host} and ${port} cannot be NULL`)
  return { host: name, port: portOf(number_) }
}

function hostPort(given: string): HostPort {
  const at = given.lastIndexOf(':')
  if (at < 1) throw new SqlError('22023', `"${given}" is not HOST:PORT`)
  return { host: given.slice(0, at), port: portOf(given.slice(at + 1)) }
}

function portOf(given: string): number {
  const port = Number(given)
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new SqlError('22023', `"${given}" is not a port`)
  return port
}
