/** How a bank goes on, second by second. */
import type { ChaosBank } from './chaos-bank.ts'

/** Transfers acknowledged in each second, by the router's port. */
export type Pace = ReadonlyMap<number, readonly number[]>

export async function pace(bank: ChaosBank, ports: readonly number[], ms: number): Promise<Pace> {
  const seconds = new Map(ports.map((port) => [port, [] as number[]]))
  const end = performance.now() + ms
  while (performance.now() < end) {
    const before = new Map(bank.acknowledged)
    await new Promise((resolve) => setTimeout(resolve, 1_000))
    for (const [port, list] of seconds) list.push((bank.acknowledged.get(port) ?? 0) - (before.get(port) ?? 0))
  }
  return seconds
}

export function describePace(paces: Pace): string {
  const line = ([port, seconds]: [number, readonly number[]]) => {
    const sorted = seconds.toSorted((a, b) => a - b)
    return `router on ${port}: ${sorted[0] ?? 0} at least, ${sorted[sorted.length >> 1] ?? 0} in the middle`
  }
  return `transfers a second in ${[...paces.values()][0]?.length ?? 0} seconds, ${[...paces].map(line).join('; ')}`
}

/** Seconds in which nothing was acknowledged. */
export function standstills(paces: Pace, when: string): string[] {
  return [...paces].flatMap(([port, seconds]) => seconds.flatMap((count, second) => (count > 0 ? [] : [`no transfer in second ${second + 1} ${when}, router on ${port}`])))
}
