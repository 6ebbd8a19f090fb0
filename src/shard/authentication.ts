/** The client side of PostgreSQL's password methods: cleartext, MD5 and SCRAM-SHA-256 (RFC 5802, RFC 7677). */
import { createHash, createHmac, pbkdf2Sync, randomBytes } from 'node:crypto'

const md5 = (data: Buffer | string) => createHash('md5').update(data).digest('hex')
const hmac = (key: Buffer, data: string | Buffer) => createHmac('sha256', key).update(data).digest()

export function md5Password(user: string, password: string, salt: Buffer): string {
  return `md5${md5(Buffer.concat([Buffer.from(md5(password + user)), salt]))}`
}

export class ScramClient {
  private readonly nonce = randomBytes(18).toString('base64')
  private readonly password: string
  private serverSignature = ''

  constructor(password: string) {
    this.password = password
  }

  first(): string {
    return `n,,n=,r=${this.nonce}`
  }

  /** The answer to the server's first message. */
  final(serverFirst: string): string {
    const attributes = parseAttributes(serverFirst)
    const nonce = attributes.r ?? ''
    if (!nonce.startsWith(this.nonce)) throw new Error('the server answered with another nonce')
    const salted = pbkdf2Sync(this.password.normalize('NFKC'), Buffer.from(attributes.s ?? '', 'base64'), Number(attributes.i), 32, 'sha256')
    const clientKey = hmac(salted, 'Client Key')
    const withoutProof = `c=biws,r=${nonce}`
    const message = `n=,r=${this.nonce},${serverFirst},${withoutProof}`
    const signature = hmac(createHash('sha256').update(clientKey).digest(), message)
    const proof = Buffer.from(clientKey.map((byte, i) => byte ^ (signature[i] as number)))
    this.serverSignature = hmac(hmac(salted, 'Server Key'), message).toString('base64')
    return `${withoutProof},p=${proof.toString('base64')}`
  }

  verify(serverFinal: string): void {
    if (parseAttributes(serverFinal).v !== this.serverSignature) throw new Error("the server's signature is wrong")
  }
}

function parseAttributes(text: string): Record<string, string> {
  return Object.fromEntries(text.split(',').map((part) => [part.slice(0, 1), part.slice(2)]))
}
