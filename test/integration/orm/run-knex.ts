/** An application on Knex: migrations, rows, relations, transactions, introspection. Gives what it has found. */
import knexPackage from 'knex'
import type { Knex } from 'knex'

interface Migration {
  up(knex: Knex): Promise<void>
  down(knex: Knex): Promise<void>
}

const migrations: Readonly<Record<string, Migration>> = {
  first: {
    async up(knex) {
      await knex.schema.createTable('users', (table) => {
        table.increments('id')
        table.string('email', 100).notNullable().unique()
        table.enu('role', ['a', 'b']).defaultTo('a')
        table.timestamps(true, true)
        table.jsonb('data')
      })
      await knex.schema.createTable('posts', (table) => {
        table.bigIncrements('id')
        table.integer('user_id').unsigned().references('id').inTable('users').onDelete('CASCADE').index()
        table.string('title')
        table.decimal('price', 10, 2)
        table.specificType('labels', 'text[]')
      })
      await knex.schema.createTable('events', (table) => {
        table.uuid('id').primary().defaultTo(knex.raw('gen_random_uuid()'))
        table.text('what')
      })
    },
    async down(knex) {
      await knex.schema.dropTable('events').dropTable('posts').dropTable('users')
    },
  },
  second: {
    async up(knex) {
      await knex.schema.alterTable('posts', (table) => {
        table.integer('likes').notNullable().defaultTo(0)
        table.renameColumn('title', 'heading')
        table.index(['heading', 'price'])
      })
      await knex.schema.raw('create view cheap as select id, heading from posts where price < 5')
    },
    async down(knex) {
      await knex.schema.dropView('cheap')
      await knex.schema.alterTable('posts', (table) => {
        table.dropColumn('likes')
        table.renameColumn('heading', 'title')
      })
    },
  },
}

const migrationSource: Knex.MigrationSource<string> = {
  getMigrations: () => Promise.resolve(Object.keys(migrations)),
  getMigrationName: (name) => name,
  getMigration: (name) => Promise.resolve(migrations[name] as Migration),
}

export async function runKnex(port: number, database: string): Promise<unknown[]> {
  const knex = knexPackage({ client: 'pg', connection: { host: '127.0.0.1', port, user: 'postgres', database }, pool: { min: 0, max: 4 } })
  const found: unknown[] = []
  try {
    found.push(await knex.migrate.latest({ migrationSource }), await knex.migrate.currentVersion({ migrationSource }))
    await fill(knex)
    found.push(...(await read(knex)), ...(await write(knex)), ...(await inTransactions(knex)))
    found.push(await knex('posts').columnInfo(), await knex.schema.hasTable('posts'), await knex.schema.hasColumn('posts', 'likes'))
    found.push(await knex.migrate.rollback({ migrationSource }, true))
    return found
  } finally {
    await knex.destroy()
  }
}

async function fill(knex: Knex): Promise<void> {
  await knex('users').insert(Array.from({ length: 30 }, (_, i) => ({ email: `u${i}@x`, data: { n: i } })))
  await knex('posts').insert(Array.from({ length: 90 }, (_, i) => ({ user_id: 1 + (i % 30), heading: `p${i}`, price: i / 10, labels: ['a', String(i)] })))
  await knex.batchInsert('events', Array.from({ length: 500 }, (_, i) => ({ what: `e${i}` })), 100)
}

async function read(knex: Knex): Promise<unknown[]> {
  const best = knex('posts').select('user_id').max('price as most').groupBy('user_id')
  return [
    await knex('posts').join('users', 'users.id', 'posts.user_id').select('users.email').count('* as n').sum('price as sum').groupBy('users.email').orderBy('users.email').limit(3),
    await knex('users').where({ id: 3 }).first('email', 'role', 'data'),
    await knex('posts').whereIn('user_id', knex('users').select('id').where('email', 'like', 'u1%')).orderBy('id').pluck('heading'),
    await knex('cheap').orderBy('id').limit(2),
    await knex.with('best', best).select('*').from('best').orderBy('user_id').limit(2),
  ]
}

async function write(knex: Knex): Promise<unknown[]> {
  const failed = await knex('users').insert({ email: 'u2@x' }).catch(({ code, constraint, table, schema }: Record<string, string>) => ({ code, constraint, table, schema }))
  return [
    await knex('users').insert({ email: 'u1@x' }).onConflict('email').merge({ role: 'b' }).returning('role'),
    await knex('posts').where('id', '<', 50).update({ price: knex.raw('price * 2') }),
    await knex('users').where('id', 7).del(),
    await knex('posts').count(),
    failed,
  ]
}

async function inTransactions(knex: Knex): Promise<unknown[]> {
  const likes = await knex.transaction(async (outer) => {
    await outer('posts').where('price', '<', 2).increment('likes', 2)
    await outer.transaction((inner) => inner('events').where('what', 'e1').del())
    return outer('posts').where({ id: 4 }).forUpdate().first('likes')
  })
  const undone = await knex
    .transaction(async (outer) => {
      await outer('events').del()
      throw new Error('undo')
    })
    .catch((error: Error) => error.message)
  return [likes, undone, await knex('events').count()]
}
