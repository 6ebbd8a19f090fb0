/** All commands, in the order of the help. */
import type { Command } from './command.ts'
import { cancel } from './commands/cancel.ts'
import { dev } from './commands/dev.ts'
import { init } from './commands/init.ts'
import { move } from './commands/move.ts'
import { pause } from './commands/pause.ts'
import { rebalance } from './commands/rebalance.ts'
import { resume } from './commands/resume.ts'
import { router } from './commands/router.ts'
import { shardAdd } from './commands/shard-add.ts'
import { shardDrain, shardUndrain } from './commands/shard-drain.ts'
import { shardRemove } from './commands/shard-remove.ts'
import { status } from './commands/status.ts'
import { undo } from './commands/undo.ts'

export const commands: readonly Command[] = [dev, router, init, status, shardAdd, shardDrain, shardUndrain, shardRemove, rebalance, move, pause, resume, cancel, undo]
