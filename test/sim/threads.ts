/** Runs of many seeds, in threads of their own. */
import { Worker } from 'node:worker_threads'
import type { RunResult } from './simulate.ts'

export interface Seeds {
  readonly from: number
  readonly to: number
  /** Goes on after a violation. */
  readonly goesOn?: boolean
}

export type Message = RunResult | { readonly progress: number; readonly events: number } | { readonly isDone: true; readonly ran: number; readonly events: number }

export interface Outcome {
  readonly violations: readonly RunResult[]
  readonly ran: number
  readonly events: number
}

/** `text` is the simulation's (build.ts). Throws when the thread fails by itself. */
export function runSeeds(text: string, seeds: Seeds, onProgress: (runs: number) => void = () => undefined): Promise<Outcome> {
  const worker = new Worker(text, { eval: true, workerData: seeds })
  const violations: RunResult[] = []
  return new Promise((resolve, reject) => {
    worker.on('message', (message: Message) => {
      if ('progress' in message) onProgress(message.progress)
      else if ('isDone' in message) resolve({ violations, ran: message.ran, events: message.events })
      else violations.push(message)
    })
    worker.on('error', reject)
    worker.on('exit', () => reject(new Error('the thread ended before its work')))
  })
}

/** The seeds in as many parts, which run at the same time. */
export async function runInParts(text: string, seeds: Seeds, parts: number, onProgress: (runs: number) => void): Promise<Outcome> {
  const size = Math.ceil((seeds.to - seeds.from) / parts)
  const done = Array.from({ length: parts }, () => 0)
  const outcomes = await Promise.all(
    done.map((_, i) => {
      const from = Math.min(seeds.to, seeds.from + i * size)
      return runSeeds(text, { ...seeds, from, to: Math.min(seeds.to, from + size) }, (runs) => {
        done[i] = runs
        onProgress(done.reduce((a, b) => a + b, 0))
      })
    }),
  )
  return {
    violations: outcomes.flatMap(({ violations }) => violations),
    ran: outcomes.reduce((sum, { ran }) => sum + ran, 0),
    events: outcomes.reduce((sum, { events }) => sum + events, 0),
  }
}
