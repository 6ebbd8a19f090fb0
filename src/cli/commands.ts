/** All commands, in the order of the help. */
import type { Command } from './command.ts'
import { dev } from './commands/dev.ts'
import { init } from './commands/init.ts'
import { router } from './commands/router.ts'
import { status } from './commands/status.ts'

export const commands: readonly Command[] = [dev, router, init, status]
