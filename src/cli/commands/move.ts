import type pg from 'pg'
import { command, wholeNumber } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'
import { waitForMoves } from '../wait-for-moves.ts'

export const move = command({
  name: 'move',
  synopsis: `BUCKET --to SHARD [--table NAME | --group NUMBER] [--no-wait]\n${reachSynopsis}`,
  about: 'moves one bucket to a shard; which table group it is of need not be said when there is one alone',
  options: { ...reachOptions, to: { type: 'string' }, table: { type: 'string' }, group: { type: 'string' }, 'no-wait': { type: 'boolean', default: false } },
  words: { least: 1, most: 1 },
  async run({ values, words }, context) {
    if (values.to === undefined) throw new Error('move needs --to SHARD')
    const [bucket, shard] = [wholeNumber('BUCKET', words[0] ?? '', 0, 2 ** 31 - 1), wholeNumber('--to', values.to, 1, 2 ** 31 - 1)]
    const id = await withRouter(values, async (client) => {
      const of = values.table ?? values.group ?? (await onlyGroup(client))
      return (await client.query<{ id: number }>('SELECT pgherd.move_bucket($1::text, $2, $3) AS id', [of, bucket, shard])).rows[0]?.id
    })
    if (!values['no-wait']) return waitForMoves([Number(id)], 'done', values, context)
    context.terminal.print(`move ${id} is asked for: pgherd status shows it`)
    return
  },
})

async function onlyGroup(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ group: number }>('SELECT DISTINCT table_group AS group FROM pgherd.buckets')
  if (rows.length !== 1) throw new Error(`there are ${rows.length} table groups: say --table or --group`)
  return String(rows[0]?.group)
}
