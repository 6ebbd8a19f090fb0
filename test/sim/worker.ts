/** Runs simulations in a thread of its own: seeds in, violations and the end out. */
import { parentPort, workerData } from 'node:worker_threads'
import { simulate, type RunResult } from './simulate.ts'
import type { Message, Seeds } from './threads.ts'

const progressEvery = 500

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- that is another postMessage
const send = (message: Message) => parentPort?.postMessage(message)

async function run({ from, to, goesOn = false }: Seeds): Promise<void> {
  let ran = 0
  let events = 0
  for (let seed = from; seed < to; seed++) {
    const result = await simulate(seed, false)
    ran++
    events += result.events
    if (result.violation !== undefined) {
      send(await explain(result))
      if (!goesOn) break
    }
    if (ran % progressEvery === 0) send({ progress: ran, events })
  }
  send({ isDone: true, ran, events })
}

/** The same run with its trace, and with as few of its faults as still show the same. */
async function explain({ seed, faults, violation }: RunResult): Promise<RunResult> {
  let kept = faults.map((_, i) => i)
  for (const fault of kept) {
    const fewer = kept.filter((one) => one !== fault)
    const { violation: still } = await simulate(seed, false, fewer)
    if (still?.property === violation?.property) kept = fewer
  }
  return simulate(seed, true, kept)
}

void run(workerData as Seeds)
