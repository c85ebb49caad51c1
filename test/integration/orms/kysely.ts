import {
  type Generated,
  Kysely,
  type MigrationProvider,
  Migrator,
  PostgresDialect,
  sql,
} from 'kysely';
import { jsonArrayFrom } from 'kysely/helpers/postgres';
import pg from 'pg';
import Cursor from 'pg-cursor';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionsMax, type Database } from './database.ts';

interface Tables {
  authors: { id: Generated<number>; name: string; born: number | null };
  books: { id: Generated<number>; author_id: number; title: string };
}

const migrations: MigrationProvider = {
  getMigrations: async () => ({
    '1_create': {
      up: async (db: Kysely<unknown>) => {
        await db.schema
          .createTable('authors')
          .addColumn('id', 'serial', (column) => column.primaryKey())
          .addColumn('name', 'varchar(100)', (column) => column.notNull().unique())
          .execute();
        await db.schema
          .createTable('books')
          .addColumn('id', 'serial', (column) => column.primaryKey())
          .addColumn('author_id', 'integer', (column) =>
            column.notNull().references('authors.id').onDelete('cascade'),
          )
          .addColumn('title', 'text', (column) => column.notNull())
          .execute();
      },
    },
    '2_alter': {
      up: (db: Kysely<unknown>) =>
        db.schema.alterTable('authors').addColumn('born', 'integer').execute(),
      down: (db: Kysely<unknown>) => db.schema.alterTable('authors').dropColumn('born').execute(),
    },
  }),
};

export function kyselyTests(database: () => Database): void {
  let db: Kysely<Tables>;

  beforeAll(() => {
    const pool = new pg.Pool({ connectionString: database().url, max: connectionsMax });
    db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool, cursor: Cursor }) });
  });

  afterAll(() => db?.destroy());

  test('migrates there and back', async () => {
    const migrator = new Migrator({ db, provider: migrations });
    for (const move of ['latest', 'down', 'latest'] as const) {
      const { error, results } =
        move === 'down' ? await migrator.migrateDown() : await migrator.migrateToLatest();
      expect(error).toBeUndefined();
      expect(results?.every(({ status }) => status === 'Success')).toBe(true);
    }
  });

  test('inserts, selects, updates and deletes', async () => {
    const made = await db
      .insertInto('authors')
      .values([
        { name: 'Woolf', born: 1882 },
        { name: 'Joyce', born: null },
      ])
      .returningAll()
      .execute();
    expect(made.map(({ name }) => name)).toEqual(['Woolf', 'Joyce']);
    await db
      .insertInto('authors')
      .values({ name: 'Joyce', born: 1882 })
      .onConflict((on) => on.column('name').doUpdateSet({ born: 1882 }))
      .execute();
    const born = await db.selectFrom('authors').select('born').distinct().execute();
    expect(born).toEqual([{ born: 1882 }]);
    const { numDeletedRows } = await db
      .deleteFrom('authors')
      .where('name', '=', 'Joyce')
      .executeTakeFirst();
    expect(numDeletedRows).toBe(1n);
  });

  test('joins and nests', async () => {
    const { id } = await db
      .selectFrom('authors')
      .select('id')
      .where('name', '=', 'Woolf')
      .executeTakeFirstOrThrow();
    await db
      .insertInto('books')
      .values([
        { author_id: id, title: 'Orlando' },
        { author_id: id, title: 'The Waves' },
      ])
      .execute();
    const shelf = await db
      .selectFrom('authors')
      .select((eb) => [
        'name',
        jsonArrayFrom(
          eb
            .selectFrom('books')
            .select('title')
            .whereRef('books.author_id', '=', 'authors.id')
            .orderBy('title'),
        ).as('books'),
      ])
      .execute();
    expect(shelf).toEqual([
      { name: 'Woolf', books: [{ title: 'Orlando' }, { title: 'The Waves' }] },
    ]);
  });

  test('commits, rolls back, and goes back to savepoints', async () => {
    await expect(
      db.transaction().execute(async (trx) => {
        await trx.insertInto('authors').values({ name: 'never', born: null }).execute();
        throw new Error('not this one');
      }),
    ).rejects.toThrow('not this one');
    const trx = await db.startTransaction().setIsolationLevel('repeatable read').execute();
    await trx.insertInto('authors').values({ name: 'Stein', born: null }).execute();
    const after = await trx.savepoint('after').execute();
    await after.insertInto('authors').values({ name: 'undone', born: null }).execute();
    await after.rollbackToSavepoint('after').execute();
    await trx.commit().execute();
    const names = await db.selectFrom('authors').select('name').orderBy('name').execute();
    expect(names).toEqual([{ name: 'Stein' }, { name: 'Woolf' }]);
  });

  test('streams by a cursor', async () => {
    const numbers = sql<{ n: number }>`generate_series(1, 250)`;
    const rows = db
      .selectFrom(numbers.as<'n'>(sql.ref('n')))
      .select('n')
      .stream(100);
    let sum = 0;
    for await (const { n } of rows) sum += Number(n);
    expect(sum).toBe(31375);
  });

  test('introspects', async () => {
    const tables = await db.introspection.getTables();
    expect(tables.map(({ name }) => name).toSorted()).toEqual(['authors', 'books']);
    const authors = tables.find(({ name }) => name === 'authors');
    expect(authors?.columns.map(({ name, dataType }) => [name, dataType])).toEqual([
      ['id', 'int4'],
      ['name', 'varchar'],
      ['born', 'int4'],
    ]);
  });
}
