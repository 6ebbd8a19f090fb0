/**
 * Deadlocks of the whole cluster, from what servers and routers tell. Nothing here waits or asks.
 *
 * A *wait* is a server process that waits for a lock, and who is in its way; `since` tells it from the next wait of the same
 * process. A *waiting transaction* is what its router tells of it: the waits it is in, and the processes whose locks it
 * keeps until those have ended. That stays true as long as such a wait lasts, however late somebody reads it.
 *
 * Nodes of the graph are processes, and what is prepared. From a process that waits an edge leads to each that is in its way, and from
 * each process that a transaction keeps one leads to each of its waits: a cycle of edges that hold at one moment is a
 * deadlock. Sessions on one server need not be told of: they are their process.
 */

export interface ServerProcess {
  readonly server: number
  readonly pid: number
}

export interface Wait extends ServerProcess {
  /** When it began, by its server's clock. */
  readonly since: string
  /** Nodes. */
  readonly blockers: readonly string[]
}

export interface OwnWait extends ServerProcess {
  /** Undefined for one that gives up and begins again until it has what it wants: any wait of the process is it. */
  readonly since: string | undefined
  /** The process keeps its locks, too, when its own wait has ended. */
  readonly keeps: boolean
}

export interface WaitingTransaction {
  readonly id: string
  /** Milliseconds since the epoch, by its router's clock. */
  readonly begunAt: number
  readonly waits: readonly OwnWait[]
  readonly keeps: readonly ServerProcess[]
}

export interface Victim {
  readonly id: string
  /** The nodes, each waiting for the next, the last for the first. */
  readonly cycle: readonly string[]
}

export const processNode = ({ server, pid }: ServerProcess) => `${server}:${pid}`

/** What a transaction has prepared, on any server. */
export const preparedNode = (id: string) => `prepared ${id}`

/**
 * The waits that all were there at one moment. Each observation has begun after the one before it was complete, on all servers: so
 * what is the same in the first and in the last held during the whole of the middle one. Of waits that begin
 * again and again (`repeated`, by their nodes) it is enough that the middle one shows them, as long as a cycle has one.
 */
export function lastingWaits(first: readonly Wait[], middle: readonly Wait[], last: readonly Wait[], repeated: ReadonlySet<string>): Wait[] {
  const later = new Map(last.map((wait) => [processNode(wait), wait]))
  const same = first.flatMap((wait): Wait[] => {
    const again = later.get(processNode(wait))
    if (again?.since !== wait.since || repeated.has(processNode(wait))) return []
    return [{ ...wait, blockers: wait.blockers.filter((node) => again.blockers.includes(node)) }]
  })
  return [...same, ...middle.filter((wait) => repeated.has(processNode(wait)))]
}

/** False when no cycle can lead over two servers, or two processes of one: a server sees all others itself, but for waits that begin again and again. */
export function mayBeDeadlocked(transactions: readonly WaitingTransaction[]): boolean {
  if (transactions.length > 1 || transactions.some(repeats)) return true
  const processes = transactions.flatMap(({ waits, keeps }) => [...waits, ...keeps])
  const nodes = new Set(processes.map(processNode))
  return nodes.size > new Set(processes.map(({ server }) => server)).size
}

/**
 * Who has to give way so that no cycle is left: the youngest of each that leads through what it keeps to what it waits for. All who know the same
 * choose the same. Cycles within one server are the server's own to end, unless a wait in it never lasts until the server looks.
 */
export function findVictims(transactions: readonly WaitingTransaction[], waits: readonly Wait[]): Victim[] {
  const observed = new Map(waits.map((wait) => [processNode(wait), wait]))
  const graph = new Map(waits.map((wait): [string, readonly string[]] => [processNode(wait), wait.blockers]))
  const parties = transactions.map((transaction) => partyOf(transaction, observed))
  const left = new Set(parties.filter(({ links }) => links.length > 0).toSorted(youngestFirst))
  const victims: Victim[] = []
  for (const party of left) {
    const cycle = cycleThrough(party, left, graph)
    if (cycle === undefined) continue
    victims.push({ id: party.transaction.id, cycle })
    // What it waits for it will not get: others' cycles do not lead through it any more.
    left.delete(party)
    for (const node of party.waiting) graph.delete(node)
  }
  return victims
}

/** What a transaction keeps, and the wait that it keeps it for. */
interface Link {
  readonly kept: string
  readonly wait: string
}

interface Party {
  readonly transaction: WaitingTransaction
  readonly waiting: readonly string[]
  readonly links: readonly Link[]
}

function partyOf(transaction: WaitingTransaction, observed: ReadonlyMap<string, Wait>): Party {
  const lasting = transaction.waits.filter((wait) => {
    const seen = observed.get(processNode(wait))
    return seen !== undefined && (wait.since === undefined || seen.since === wait.since)
  })
  const keeping = [...transaction.keeps, ...lasting.filter((wait) => wait.keeps)].map(processNode)
  const kept = new Set([...keeping, preparedNode(transaction.id)])
  const waiting = lasting.map(processNode)
  const mayEndAt = (node: string, wait: string) => node !== wait || repeats(transaction)
  return { transaction, waiting, links: waiting.flatMap((wait) => [...kept].filter((node) => mayEndAt(node, wait)).map((node) => ({ kept: node, wait }))) }
}

function repeats({ waits }: WaitingTransaction): boolean {
  return waits.some(({ since }) => since === undefined)
}

/** One that begins its waits again and again can begin the whole of its work again as well: it is taken before all others. */
function youngestFirst({ transaction: a }: Party, { transaction: b }: Party): number {
  if (repeats(a) !== repeats(b)) return repeats(a) ? -1 : 1
  return b.begunAt - a.begunAt || (a.id < b.id ? 1 : -1)
}

function cycleThrough(party: Party, parties: Iterable<Party>, graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const links = new Map<string, string[]>()
  for (const { kept, wait } of [...parties].flatMap((one) => one.links)) links.set(kept, [...(links.get(kept) ?? []), wait])
  for (const wait of party.waiting) {
    const ends = new Set(party.links.filter((link) => link.wait === wait).map(({ kept }) => kept))
    const path = shortestPath(graph.get(wait) ?? [], ends, (node) => [...(graph.get(node) ?? []), ...(links.get(node) ?? [])])
    if (path !== undefined) return path[path.length - 1] === wait ? path : [wait, ...path]
  }
  return undefined
}

function shortestPath(from: readonly string[], to: ReadonlySet<string>, next: (node: string) => readonly string[]): string[] | undefined {
  const cameFrom = new Map<string, string | undefined>(from.map((node) => [node, undefined]))
  // The map grows while it is walked: nodes come in the order of their distance.
  for (const node of cameFrom.keys()) {
    if (to.has(node)) return wayTo(node, cameFrom)
    for (const other of next(node)) if (!cameFrom.has(other)) cameFrom.set(other, node)
  }
  return undefined
}

function wayTo(end: string, cameFrom: ReadonlyMap<string, string | undefined>): string[] {
  const way: string[] = []
  for (let node: string | undefined = end; node !== undefined; node = cameFrom.get(node)) way.unshift(node)
  return way
}
