/** A Python that has what a program imports: the one that PYTHON names, or one of a virtual environment made for it. */
import path from 'node:path'
import type { Missing, Program } from './program.ts'
import { cacheFolder, requireSteps, run } from './program.ts'

/** `folder` holds the script and its requirements.txt; `imports` is what the script imports. */
export async function pythonProgram(name: string, folder: string, script: string, imports: string): Promise<Program | Missing> {
  const args = [path.join(folder, script)]
  const given = process.env['PYTHON']
  if (given !== undefined && (await run(given, ['-c', `import ${imports}`], folder)).ok) return { command: given, args }
  const environment = cacheFolder(name)
  const python = path.join(environment, 'bin/python')
  const missing = await requireSteps(folder, [
    ['python3', '-m', 'venv', environment],
    [python, '-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--requirement', 'requirements.txt'],
  ])
  return missing ?? { command: python, args }
}
