import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { desc, eq, relations, sql } from 'drizzle-orm';
import { drizzle as overNodePostgres } from 'drizzle-orm/node-postgres';
import { migrate as migrateNodePostgres } from 'drizzle-orm/node-postgres/migrator';
import { integer, pgEnum, pgTable, serial, text } from 'drizzle-orm/pg-core';
import { drizzle as overPostgresJs } from 'drizzle-orm/postgres-js';
import { migrate as migratePostgresJs } from 'drizzle-orm/postgres-js/migrator';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionsMax, type Database } from './database.ts';

const kind = pgEnum('kind', ['novel', 'poem']);
const authors = pgTable('authors', {
  id: serial().primaryKey(),
  name: text().notNull().unique(),
  born: integer(),
});
const books = pgTable('books', {
  id: serial().primaryKey(),
  authorId: integer('author_id').references(() => authors.id),
  title: text().notNull(),
  kind: kind().notNull(),
});
const schema = {
  ...{ authors, books },
  writes: relations(authors, ({ many }) => ({ books: many(books) })),
  writtenBy: relations(books, ({ one }) => ({
    author: one(authors, { fields: [books.authorId], references: [authors.id] }),
  })),
};

/** As drizzle-kit writes them. */
const migrations: Readonly<Record<string, string>> = {
  '0000_create': `CREATE TYPE kind AS ENUM ('novel', 'poem');
    --> statement-breakpoint
    CREATE TABLE authors (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
    --> statement-breakpoint
    CREATE TABLE books (id serial PRIMARY KEY, author_id int REFERENCES authors (id),
      title text NOT NULL, kind kind NOT NULL);`,
  '0001_alter': 'ALTER TABLE authors ADD COLUMN born int;',
};

async function migrationsFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'tidemark-drizzle-'));
  await mkdir(join(folder, 'meta'));
  const entries = Object.keys(migrations).map((tag, idx) => {
    return { idx, version: '7', when: 1_700_000_000_000 + idx, tag, breakpoints: true };
  });
  const journal = JSON.stringify({ version: '7', dialect: 'postgresql', entries });
  await writeFile(join(folder, 'meta', '_journal.json'), journal);
  for (const [tag, text] of Object.entries(migrations)) {
    await writeFile(join(folder, `${tag}.sql`), text);
  }
  return folder;
}

function connectNodePostgres(url: string) {
  const pool = new pg.Pool({ connectionString: url, max: connectionsMax });
  const db = overNodePostgres(pool, { schema });
  const migrate = (folder: string) => migrateNodePostgres(db, { migrationsFolder: folder });
  return { db, migrate, end: () => pool.end() };
}

function connectPostgresJs(url: string): ReturnType<typeof connectNodePostgres> {
  const client = postgres(url, { max: connectionsMax, onnotice: () => {} });
  const db = overPostgresJs(client, { schema });
  const migrate = (folder: string) => migratePostgresJs(db, { migrationsFolder: folder });
  // They differ in the results of execute(), which is not used here.
  return { db: db as never, migrate, end: () => client.end() };
}

const connects = { 'node-postgres': connectNodePostgres, 'postgres.js': connectPostgresJs };

export function drizzleTests(database: () => Database, over: keyof typeof connects): void {
  let connected: ReturnType<typeof connectNodePostgres>;

  beforeAll(() => {
    connected = connects[over](database().url);
  });

  afterAll(() => connected?.end());

  test('migrates', async () => {
    const folder = await migrationsFolder();
    await connected.migrate(folder);
    // Again: nothing is left to do.
    await connected.migrate(folder);
    await rm(folder, { recursive: true });
  });

  test('inserts, selects, updates and deletes', async () => {
    const { db } = connected;
    const made = await db
      .insert(authors)
      .values([{ name: 'Woolf' }, { name: 'Joyce' }])
      .returning();
    expect(made.map(({ name }) => name)).toEqual(['Woolf', 'Joyce']);
    await db.update(authors).set({ born: 1882 });
    await db
      .insert(authors)
      .values({ name: 'Joyce', born: 1883 })
      .onConflictDoUpdate({ target: authors.name, set: { born: sql`excluded.born` } });
    const byName = db
      .select()
      .from(authors)
      .where(eq(authors.name, sql.placeholder('name')))
      .prepare('by_name');
    expect(await byName.execute({ name: 'Joyce' })).toMatchObject([{ born: 1883 }]);
    expect(await byName.execute({ name: 'Woolf' })).toMatchObject([{ born: 1882 }]);
    await db.delete(authors).where(eq(authors.name, 'Joyce'));
    expect(await db.$count(authors)).toBe(1);
  });

  test('joins and loads relations', async () => {
    const { db } = connected;
    const [woolf] = await db.select().from(authors);
    const shelf = ['Orlando', 'The Waves'].map((title) => {
      return { authorId: woolf!.id, title, kind: 'novel' as const };
    });
    await db.insert(books).values(shelf);
    const joined = await db
      .select({ name: authors.name, title: books.title })
      .from(authors)
      .leftJoin(books, eq(books.authorId, authors.id))
      .orderBy(desc(books.title));
    expect(joined.map(({ title }) => title)).toEqual(['The Waves', 'Orlando']);
    const nested = await db.query.authors.findMany({ with: { books: { with: { author: true } } } });
    expect(nested[0]?.books).toMatchObject(shelf.map((book) => ({ ...book, author: woolf })));
  });

  test('commits, rolls back, and nests transactions', async () => {
    const { db } = connected;
    await expect(
      db.transaction(async (tx) => {
        await tx.insert(authors).values({ name: 'never' });
        tx.rollback();
      }),
    ).rejects.toThrow('Rollback');
    await db.transaction(
      async (tx) => {
        await tx.insert(authors).values({ name: 'Stein' });
        await tx
          .transaction(async (inner) => {
            await inner.insert(authors).values({ name: 'undone' });
            inner.rollback();
          })
          .catch(() => {});
      },
      { isolationLevel: 'serializable', accessMode: 'read write' },
    );
    const names = await db.select({ name: authors.name }).from(authors).orderBy(authors.name);
    expect(names).toEqual([{ name: 'Stein' }, { name: 'Woolf' }]);
    const counted = db.transaction((tx) => tx.$count(books), { accessMode: 'read only' });
    expect(await counted).toBe(2);
  });
}
