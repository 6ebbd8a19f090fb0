/** What is asked of moves that were asked for before: pause, resume, cancel. */
import type { Command } from '../command.ts'
import { command, wholeNumber } from '../command.ts'
import { reachOptions, reachSynopsis, withRouter } from '../reach-router.ts'
import { count } from '../units.ts'
import { waitForMoves } from '../wait-for-moves.ts'

export const pause = wish('pause', 'paused', 'lets moves, or one of them, stand still once their copies are whole; what is being cut over is done')
export const resume = wish('resume', 'going on', 'lets paused moves go on')

function wish(name: 'pause' | 'resume', told: string, about: string): Command {
  return command({
    name,
    synopsis: `[MOVE] ${reachSynopsis}`,
    about,
    options: reachOptions,
    words: { least: 0, most: 1 },
    async run({ values, words }, { terminal }) {
      const { rows } = await withRouter(values, (client) => client.query<{ moves: string }>(`SELECT pgherd.${name}_moves($1::bigint) AS moves`, [moveOf(words)]))
      terminal.print(`${count(Number(rows[0]?.moves), 'move')} ${told}`)
    },
  })
}

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

export const moveOf = (words: readonly string[]): number | null => (words[0] === undefined ? null : wholeNumber('MOVE', words[0], 1, Number.MAX_SAFE_INTEGER))
