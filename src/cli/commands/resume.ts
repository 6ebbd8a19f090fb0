import { wishCommand } from '../wish-command.ts'

export const resume = wishCommand('resume', 'going on', 'lets paused moves go on')
