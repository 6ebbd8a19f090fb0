/** A property that does not hold. */
export class Violation extends Error {
  readonly property: string

  constructor(property: string, what: string) {
    super(`${property}: ${what}`)
    this.name = 'Violation'
    this.property = property
  }
}
