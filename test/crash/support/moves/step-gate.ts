/**
 * Holds a router at a step of a move: by files in a folder that the test and its routers share.
 *
 * The test writes `hold`; the first router whose mover comes to that step makes it `held-<pid>`, and does nothing at all until the file
 * is gone. It may be killed meanwhile.
 */
import fs from 'node:fs'
import path from 'node:path'
import type { Move } from '../../../../src/rebalance/move.ts'

export interface HeldStep {
  readonly group: number
  readonly bucket: number
  readonly step: string
}

const file = (folder: string, name: string) => path.join(folder, name)

export function holdAt(folder: string, at: HeldStep): void {
  // By another name first: a router that looks must not find half of it.
  fs.writeFileSync(file(folder, 'new'), JSON.stringify(at))
  fs.renameSync(file(folder, 'new'), file(folder, 'hold'))
}

/** The process that is held. */
export function heldProcess(folder: string): number | undefined {
  const name = fs.readdirSync(folder).find((one) => one.startsWith('held-'))
  return name === undefined ? undefined : Number(name.slice('held-'.length))
}

/** Nobody is held, and nobody will be. */
export function letGo(folder: string): void {
  for (const name of fs.readdirSync(folder)) fs.rmSync(file(folder, name))
}

/** The router's side. */
export function stopWhereHeld(folder: string, step: string, { group, bucket }: Move): void {
  let wanted: HeldStep
  try {
    wanted = JSON.parse(fs.readFileSync(file(folder, 'hold'), 'utf8')) as HeldStep
    if (wanted.step !== step || wanted.group !== group || wanted.bucket !== bucket) return
    fs.renameSync(file(folder, 'hold'), file(folder, `held-${process.pid}`))
  } catch {
    return // nobody is to be held
  }
  const asleep = new Int32Array(new SharedArrayBuffer(4))
  while (fs.existsSync(file(folder, `held-${process.pid}`))) Atomics.wait(asleep, 0, 0, 1)
}
