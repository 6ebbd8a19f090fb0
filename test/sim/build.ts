/** The simulation as one text for a thread, with a planted bug in it if one is given. */
import fs from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type * as Esbuild from 'esbuild'
import type { PlantedBug } from './planted-bugs.ts'

export const root = fileURLToPath(new URL('../..', import.meta.url))

// It comes with tsx.
const { build } = createRequire(createRequire(import.meta.url).resolve('tsx'))('esbuild') as typeof Esbuild

export async function buildSimulation(bug?: PlantedBug): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [path.join(root, 'test/sim/worker.ts')],
    bundle: true,
    write: false,
    format: 'cjs',
    // Modules that look for files beside them are loaded too, and not used.
    define: { 'import.meta.url': '"file:///simulation.js"' },
    platform: 'node',
    plugins: [notConnected, ...(bug === undefined ? [] : [planting(bug)])],
  })
  return outputFiles[0]?.text ?? ''
}

/** Nothing here talks to real servers. */
const notConnected: Esbuild.Plugin = {
  name: 'not connected',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^(pg|ioredis)$/ }, () => ({ path: 'none', namespace: 'not-connected' }))
    onLoad({ filter: /.*/, namespace: 'not-connected' }, () => ({ contents: 'export default {}; export const Redis = undefined' }))
  },
}

function planting({ file, find, replace }: PlantedBug): Esbuild.Plugin {
  return {
    name: 'a planted bug',
    setup({ onLoad }) {
      onLoad({ filter: /\.ts$/ }, ({ path: loaded }) => {
        if (loaded !== path.join(root, file)) return undefined
        return { contents: fs.readFileSync(loaded, 'utf8').replace(find, () => replace), loader: 'ts' }
      })
    },
  }
}
