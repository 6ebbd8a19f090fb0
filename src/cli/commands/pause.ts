import { wishCommand } from '../wish-command.ts'

export const pause = wishCommand('pause', 'paused', 'lets moves, or one of them, stand still once their copies are whole; what is being cut over is done')
