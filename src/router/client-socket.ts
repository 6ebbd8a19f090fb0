/**
 * A client's socket, read into one buffer that all clients share.
 *
 * Node gives every read of an accepted socket a buffer of 64 KiB, and reads into a buffer of ours (`onread`) only for sockets that
 * it makes with that option. So the accepted socket's handle moves to a socket that is made with it. What is read is used or
 * copied before the next read, so one buffer does for all.
 */
import net from 'node:net'

const shared = Buffer.allocUnsafe(64 * 1024)

interface Internals {
  _handle: object | null
  _server: net.Server | null
}

/** `onBytes` gets what was read, valid during the call only. The socket given must not have been read, and is of no more use. */
export function readIntoShared(accepted: net.Socket, onBytes: (bytes: Buffer) => void): net.Socket {
  const from = accepted as unknown as Internals
  const { _handle: handle, _server: server } = from
  if (handle === null) return accepted // it is gone already
  const callback = (length: number) => {
    onBytes(shared.subarray(0, length))
    return true
  }
  const options = { handle, onread: { buffer: shared, callback } }
  const socket = new net.Socket(options as unknown as net.SocketConstructorOpts)
  // The server counts its connections by the sockets that know it.
  ;(socket as unknown as Internals)._server = server
  from._server = null
  from._handle = null
  return socket
}
