import { wholeNumber } from './command.ts'

/** The move that a command names; null where it names none, and means all. */
export const moveOf = (words: readonly string[]): number | null => (words[0] === undefined ? null : wholeNumber('MOVE', words[0], 1, Number.MAX_SAFE_INTEGER))
