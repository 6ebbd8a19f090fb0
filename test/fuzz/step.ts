/** One thing that a random client does. */
export interface Parameter {
  /** Quoted as the client would write it; undefined for NULL. */
  readonly text: string | undefined
  /** The OID that the client declares; 0 leaves it to the server. */
  readonly oid: number
  readonly value: Buffer | undefined
  readonly binary: boolean
}

export interface Step {
  readonly sql: string
  /** Sent by the extended protocol, with these. */
  readonly parameters?: readonly Parameter[]
  /** The rows come in an order that the statement settles. */
  readonly ordered?: boolean
  /** One PostgreSQL knows nothing of it. */
  readonly clusterOnly?: boolean
  /** Tables that must be alike on both afterwards. */
  readonly compareTable?: string
}
