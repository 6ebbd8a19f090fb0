import { limits } from '../base/limits.ts'
import type { MoveJob } from './move-job.ts'

const lockNotAvailable = '55P03'
const deadlockDetected = '40P01'

/** Repeats what could not get a lock within the session's lock_timeout, so that clients queue behind it for no longer than that. */
export async function whenFree<T>(job: Pick<MoveJob, 'clock' | 'signal'>, attempt: () => Promise<T>): Promise<T> {
  for (let pauseMs: number = limits.cutoverRetryMsMin; ; pauseMs = Math.min(2 * pauseMs, limits.cutoverRetryMsMax)) {
    job.signal.throwIfAborted()
    try {
      return await attempt()
    } catch (error) {
      const { code } = error as { code?: string }
      if (code !== lockNotAvailable && code !== deadlockDetected) throw error
    }
    await job.clock.sleep(pauseMs)
  }
}
