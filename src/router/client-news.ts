/** What a client is told without having asked: settings that have changed, and notifications. As in PostgreSQL, right before ReadyForQuery. */
import { Backend } from '../protocol/message-types.ts'
import type { ClientStream } from './client-stream.ts'

export class ClientNews {
  private readonly stream: ClientStream
  /** What the client knows of the server's settings, and what has changed since. */
  private readonly reported = new Map<string, string>()
  private readonly changed = new Map<string, string>()
  private readonly notifications: Buffer[] = []

  constructor(stream: ClientStream) {
    this.stream = stream
  }

  parameter(name: string, value: string): void {
    this.changed.set(name, value)
  }

  /** A setting as the server has it. */
  current(name: string): string | undefined {
    return this.changed.get(name) ?? this.reported.get(name)
  }

  /** The payload of a NotificationResponse. */
  notification(payload: Buffer): void {
    this.notifications.push(payload)
  }

  /** Notifications wait for the end of a transaction. */
  tell(inTransaction: boolean): void {
    const { out } = this.stream
    if (!inTransaction) {
      for (const payload of this.notifications.splice(0)) out.frame(Backend.notificationResponse, payload, 0, payload.length)
    }
    if (this.changed.size === 0) return
    for (const [name, value] of this.changed) {
      if (this.reported.get(name) === value) continue
      this.reported.set(name, value)
      out.begin('S').cstring(name).cstring(value).end()
    }
    this.changed.clear()
  }
}
