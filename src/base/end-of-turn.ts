/** What is to be written at the end of this turn of the event loop: one timer for all sockets, and one write for each. */

export interface Flushable {
  flush(): void
}

let waiting: Flushable[] = []
let flushing: Flushable[] = []

/** Calls `target.flush()` once this turn's input has been read. A target asks once for each time. */
export function flushAtEndOfTurn(target: Flushable): void {
  if (waiting.push(target) === 1) setImmediate(flushAll)
}

function flushAll(): void {
  const list = waiting
  waiting = flushing
  for (const target of list) target.flush()
  list.length = 0
  flushing = list
}
