import { command } from '../command.ts'
import { moveOf } from '../move-of.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'
import { count } from '../units.ts'
import { waitForMoves } from '../wait-for-moves.ts'

export const cancel = command({
  name: 'cancel',
  synopsis: `[MOVE] [--no-wait] ${reachSynopsis}`,
  about: 'undoes moves, or one of them, as far as they are not done: what is done stays',
  options: { ...reachOptions, 'no-wait': { type: 'boolean', default: false } },
  words: { least: 0, most: 1 },
  async run({ values, words }, context) {
    const ids = await withRouter(values, async (client) => {
      await client.query('SELECT pgherd.cancel_moves($1::bigint)', [moveOf(words)])
      const text = `SELECT id::float8 AS id FROM pgherd.moves WHERE wanted = 'undone' AND stage <> 'undone' AND ($1::bigint IS NULL OR id = $1::bigint)`
      return (await client.query<{ id: number }>(text, [moveOf(words)])).rows.map(({ id }) => id)
    })
    if (values['no-wait'] || ids.length === 0) context.terminal.print(`${count(ids.length, 'move')} to be undone`)
    return values['no-wait'] || ids.length === 0 ? 0 : waitForMoves(ids, 'undone', values, context)
  },
})
