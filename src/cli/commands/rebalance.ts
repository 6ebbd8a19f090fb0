import { asTable } from '../as-table.ts'
import type { CommandContext } from '../command.ts'
import { command } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'
import { bytesText, count, timeText } from '../units.ts'
import { waitForMoves } from '../wait-for-moves.ts'
import { msOfAll } from '../../admin/move-speed.ts'

interface PlanRow {
  readonly tables: string
  readonly bucket: number
  readonly source: number
  readonly target: number
  readonly bytes: number
  readonly ms: number
}

const planText = `SELECT tables, bucket, source, target, bytes::float8 AS bytes, (1000 * extract(epoch FROM estimated))::float8 AS ms FROM pgherd.rebalance_plan($1)`

export const rebalance = command({
  name: 'rebalance',
  synopsis: `[--by buckets|bytes] [--plan] [--yes] [--no-wait]\n${reachSynopsis}`,
  about: 'moves buckets, while clients go on, until all shards have about the same; --plan only tells which',
  options: {
    ...reachOptions,
    by: { type: 'string', default: 'buckets' },
    plan: { type: 'boolean', default: false },
    yes: { type: 'boolean', default: false },
    'no-wait': { type: 'boolean', default: false },
  },
  async run({ values }, context) {
    const { terminal } = context
    if (values.by !== 'buckets' && values.by !== 'bytes') throw new Error('--by is buckets or bytes')
    const moves = await withRouter(values, async (client) => (await client.query<PlanRow>(planText, [values.by])).rows)
    if (moves.length === 0) {
      terminal.print('The shards have about the same already: nothing to move.')
      return
    }
    terminal.print(asTable(moves.map(({ bytes, ms, ...move }) => ({ ...move, size: bytesText(bytes), time: timeText(ms) }))))
    terminal.print(`${count(moves.length, 'move')}, ${bytesText(moves.reduce((sum, { bytes }) => sum + bytes, 0))}, about ${timeText(msOfAll(moves))}`)
    if (values.plan || !(await isConfirmed(values.yes, context))) return
    const ids = await withRouter(values, async (client) => {
      await client.query('SELECT pgherd.rebalance($1)', [values.by])
      return (await client.query<{ id: number }>('SELECT id::float8 AS id FROM pgherd.moves WHERE rebalance = (SELECT max(rebalance) FROM pgherd.moves)')).rows.map(({ id }) => id)
    })
    if (values['no-wait']) {
      terminal.print(`${count(ids.length, 'move')} asked for: pgherd status shows them`)
      return
    }
    return waitForMoves(ids, 'done', values, context)
  },
})

async function isConfirmed(yes: boolean, { terminal }: CommandContext): Promise<boolean> {
  if (yes) return true
  const answer = await terminal.ask('Move them? [y/N] ')
  if (answer === undefined) throw new Error('nobody can be asked here: say --yes to move them, or --plan to see them alone')
  return /^y(es)?$/i.test(answer.trim())
}
