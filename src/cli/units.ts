/** Sizes and times as people read them. */
const steps = ['bytes', 'kB', 'MB', 'GB', 'TB', 'PB']

export function bytesText(bytes: number): string {
  let [value, step] = [bytes, 0]
  while (value >= 1024 && step < steps.length - 1) [value, step] = [value / 1024, step + 1]
  return `${step === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${steps[step]}`
}

/** Seconds up to two minutes, then minutes and seconds, then hours and minutes. */
export function timeText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`
}

export const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`
