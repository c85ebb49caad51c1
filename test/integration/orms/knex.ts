import knex, { type Knex } from 'knex';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionsMax, type Database } from './database.ts';

const steps: readonly (Knex.Migration & { name: string })[] = [
  {
    name: '1_create',
    up: ({ schema }) =>
      schema
        .createTable('authors', (table) => {
          table.increments();
          table.string('name').notNullable().unique();
        })
        .createTable('books', (table) => {
          table.increments();
          table.integer('author_id').references('authors.id').onDelete('CASCADE');
          table.text('title').notNullable();
          table.jsonb('tags').defaultTo('[]');
        }),
    down: ({ schema }) => schema.dropTable('books').dropTable('authors'),
  },
  {
    name: '2_alter',
    up: ({ schema }) =>
      schema.alterTable('authors', (table) => {
        table.integer('born');
        table.string('name', 50).notNullable().alter();
      }),
    down: ({ schema }) => schema.alterTable('authors', (table) => table.dropColumn('born')),
  },
];

const migrationSource: Knex.MigrationSource<(typeof steps)[number]> = {
  getMigrations: async () => [...steps],
  getMigrationName: ({ name }) => name,
  getMigration: async (step) => step,
};

export function knexTests(database: () => Database): void {
  let db: Knex;

  beforeAll(() => {
    const pool = { min: 0, max: connectionsMax };
    db = knex({ client: 'pg', connection: database().url, pool, migrations: { migrationSource } });
  });

  afterAll(() => db?.destroy());

  test('migrates there and back', async () => {
    const names = steps.map(({ name }) => name);
    expect((await db.migrate.latest())[1]).toEqual(names);
    expect((await db.migrate.rollback())[1]).toEqual(names.toReversed());
    expect((await db.migrate.latest())[1]).toEqual(names);
  });

  test('inserts, selects, updates and deletes', async () => {
    const made = await db('authors')
      .insert([{ name: 'Woolf' }, { name: 'Joyce' }])
      .returning(['id', 'name']);
    expect(made.map(({ name }) => name)).toEqual(['Woolf', 'Joyce']);
    expect(await db('authors').whereIn('name', ['Woolf', 'Joyce']).update({ born: 1882 })).toBe(2);
    await db('authors').insert({ name: 'Joyce', born: 1882 }).onConflict('name').ignore();
    expect(await db('authors').where({ name: 'Joyce' }).first('born')).toEqual({ born: 1882 });
    expect(await db('authors').where('name', 'Joyce').delete()).toBe(1);
  });

  test('joins, counts and streams', async () => {
    const { id } = await db('authors').where({ name: 'Woolf' }).first('id');
    await db.batchInsert(
      'books',
      Array.from({ length: 200 }, (_, n) => ({ author_id: id, title: `${n}`, tags: '["x"]' })),
      50,
    );
    const counted = await db('authors as a')
      .join('books as b', 'b.author_id', 'a.id')
      .groupBy('a.name')
      .select('a.name', db.raw('count(*)::int as books'));
    expect(counted).toEqual([{ name: 'Woolf', books: 200 }]);
    const titles: string[] = [];
    for await (const { title } of db('books').select('title').stream({ highWaterMark: 7 })) {
      titles.push(title);
    }
    expect(new Set(titles).size).toBe(200);
  });

  test('commits, rolls back, and nests transactions', async () => {
    await expect(
      db.transaction(async (trx) => {
        await trx('authors').insert({ name: 'never' });
        await trx('authors').insert({ name: 'Woolf' });
      }),
    ).rejects.toMatchObject({ code: '23505' });
    await db.transaction(async (trx) => {
      await trx('authors').insert({ name: 'Stein' });
      await trx
        .transaction(async (inner) => {
          await inner('authors').insert({ name: 'undone' });
          throw new Error('back to the savepoint');
        })
        .catch(() => {});
      await trx.transaction((inner) => inner('authors').insert({ name: 'Pound' }));
    });
    expect(await db('authors').orderBy('name').pluck('name')).toEqual(['Pound', 'Stein', 'Woolf']);
    const readOnly = await db.transaction({ readOnly: true });
    await expect(readOnly('authors').delete()).rejects.toMatchObject({ code: '25006' });
    await readOnly.rollback();
  });

  test('introspects', async () => {
    expect(await db.schema.hasTable('books')).toBe(true);
    expect(await db.schema.hasColumn('authors', 'born')).toBe(true);
    const { name } = await db('authors').columnInfo();
    expect(name).toMatchObject({ type: 'character varying', maxLength: 50, nullable: false });
  });
}
