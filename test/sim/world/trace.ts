/** What has happened, a line an event. Lines are made only when somebody will read them. */
import type { Scheduler } from './scheduler.ts'

export class Trace {
  readonly lines: string[] = []
  private readonly isOn: boolean
  private readonly scheduler: Scheduler

  constructor(isOn: boolean, scheduler: Scheduler) {
    this.isOn = isOn
    this.scheduler = scheduler
  }

  add(line: () => string): void {
    if (this.isOn) this.lines.push(`${this.scheduler.now.toFixed(2).padStart(10)}  ${line()}`)
  }
}
