/** A command that asks something of moves that were asked for before, and does not wait: pause, resume. */
import type { Command } from './command.ts'
import { command } from './command.ts'
import { moveOf } from './move-of.ts'
import { reachOptions, reachSynopsis, withRouter } from './reach-router.ts'
import { count } from './units.ts'

export function wishCommand(name: 'pause' | 'resume', told: string, about: string): Command {
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
