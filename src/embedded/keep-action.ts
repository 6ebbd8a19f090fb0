/** What is to be done about one server of the embedded cluster. Pure: keep-servers.ts finds the facts and does it. */

export interface KeptServer {
  readonly role: 'primary' | 'replica'
  readonly isRunning: boolean
  /** Its data is there, whole. */
  readonly exists: boolean
  /** It has the mark of a server that follows another. */
  readonly isStandby: boolean
  /** Of the log in its data. */
  readonly timeline: number
  /** Of the shard's primary on record; undefined when that does not answer, or is none. */
  readonly primaryTimeline: number | undefined
  /** How long it has run without following the primary, which answers. */
  readonly strayForMs: number
  /** It may have commits that the primary has not. */
  readonly isInSync: boolean
  readonly strayMsMax: number
  readonly deadForMs: number
  /** Another server may be about to become the primary in its place. */
  readonly mayBeReplaced: boolean
  readonly replacedMsMax: number
}

export type KeepAction = 'nothing' | 'start' | 'copy'

export function keepAction(server: KeptServer): KeepAction {
  const { role, isRunning, exists, isStandby, timeline, primaryTimeline, strayForMs, isInSync, strayMsMax, deadForMs, mayBeReplaced, replacedMsMax } = server
  if (role === 'primary') {
    if (isRunning || !exists) return 'nothing'
    return mayBeReplaced && deadForMs < replacedMsMax ? 'nothing' : 'start'
  }
  if (!exists) return primaryTimeline === undefined ? 'nothing' : 'copy'
  if (isStandby && !isRunning) return 'start'
  // Its slot is gone, say, and with it the log that it needs. It cannot come back, and the primary has all that it has.
  if (isStandby) return primaryTimeline !== undefined && strayForMs > strayMsMax && !isInSync ? 'copy' : 'nothing'
  // It was the primary. Only when another is one on a later timeline: one that a person has just promoted is on the latest, whatever the record says.
  return primaryTimeline !== undefined && timeline < primaryTimeline ? 'copy' : 'nothing'
}
