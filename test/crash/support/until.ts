/** Asks again and again until the answer is yes. Throws with what was waited for, and the last error, when it takes too long. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, msMax = 30_000): Promise<void> {
  const end = performance.now() + msMax
  let lastError = ''
  for (;;) {
    try {
      if (await condition()) return
      lastError = ''
    } catch (error) {
      lastError = `: ${(error as Error).message}`
    }
    if (performance.now() > end) throw new Error(`not within ${msMax} ms: ${what}${lastError}`)
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
}
