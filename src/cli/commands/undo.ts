import { command } from '../command.ts'
import { moveOf } from '../move-of.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'
import { waitForMoves } from '../wait-for-moves.ts'

export const undo = command({
  name: 'undo',
  synopsis: `MOVE [--no-wait] ${reachSynopsis}`,
  about: 'takes a move back: what is done is moved back to the shard that it was on',
  options: { ...reachOptions, 'no-wait': { type: 'boolean', default: false } },
  words: { least: 1, most: 1 },
  async run({ values, words }, context) {
    const id = moveOf(words)
    const { rows } = await withRouter(values, (client) => client.query<{ id: string }>('SELECT pgherd.undo_move($1::bigint) AS id', [id]))
    const back = Number(rows[0]?.id)
    if (values['no-wait']) {
      context.terminal.print(back === id ? `move ${id} is to be undone` : `move ${back} brings back what move ${id} has moved`)
      return
    }
    return waitForMoves([back], back === id ? 'undone' : 'done', values, context)
  },
})
