declare module 'consistent-hash' {
  export default class ConsistentHash {
    constructor(options?: { range?: number })
    add(node: string, points: number, controlPoints: number[]): this
    get(name: string, count: number): string[]
  }
}
