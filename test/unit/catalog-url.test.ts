import { describe, expect, test } from 'vitest'
import { parseCatalogUrl, parseShard } from '../../src/cli/catalog-url.ts'

describe('the address of a catalog', () => {
  const parsed = (text: string) => {
    const { catalog, credentials } = parseCatalogUrl(text)
    return [catalog.host, catalog.port, catalog.others, credentials.user, credentials.password]
  }

  test('is one server', () => {
    expect(parsed('postgres://me:p%40ss@db.example:5433')).toEqual(['db.example', 5433, undefined, 'me', 'p@ss'])
    expect(parsed('postgresql://db.example/')).toEqual(['db.example', 5432, undefined, 'postgres', undefined])
  })

  test('or several, of which one is the primary', () => {
    expect(parsed('postgres://me@one:1,two,three:3/')).toEqual(['one', 1, [{ host: 'two', port: 5432 }, { host: 'three', port: 3 }], 'me', undefined])
  })

  test('and nothing else', () => {
    expect(() => parsed('http://one:1')).toThrow('postgres://')
    expect(() => parsed('postgres://one:1,two:x')).toThrow()
  })

  test('as a shard is its servers, the primary first', () => {
    expect(parseShard('one:1,two', 0)).toEqual({ name: 'shard1', primary: { host: 'one', port: 1 }, replicas: [{ host: 'two', port: 5432 }] })
  })
})
