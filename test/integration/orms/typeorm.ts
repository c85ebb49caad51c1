import { DataSource, EntitySchema, type MigrationInterface, type QueryRunner } from 'typeorm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionsMax, type Database } from './database.ts';

interface Author {
  id: number;
  name: string;
  born: number | null;
  books?: Book[];
}

interface Book {
  id: number;
  title: string;
  author?: Author;
}

const authors = new EntitySchema<Author>({
  name: 'author',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    name: { type: 'varchar', length: 50, unique: true },
    born: { type: 'int', nullable: true },
  },
  relations: { books: { type: 'one-to-many', target: 'book', inverseSide: 'author' } },
});

const books = new EntitySchema<Book>({
  name: 'book',
  columns: {
    id: { type: 'int', primary: true, generated: true },
    title: { type: 'text' },
  },
  relations: {
    author: { type: 'many-to-one', target: 'author', inverseSide: 'books', onDelete: 'CASCADE' },
  },
});

class AddIndex1700000000000 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX book_title ON book (title)');
    await runner.query('ALTER TABLE book ADD COLUMN year int');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX book_title');
    await runner.query('ALTER TABLE book DROP COLUMN year');
  }
}

export function typeormTests(database: () => Database): void {
  let db: DataSource;

  beforeAll(async () => {
    db = new DataSource({
      type: 'postgres',
      url: database().url,
      poolSize: connectionsMax,
      entities: [authors, books],
      migrations: [AddIndex1700000000000],
    });
    await db.initialize();
  });

  afterAll(() => db?.destroy());

  test('makes tables, and migrates there and back', async () => {
    await db.synchronize();
    // What it finds now is what it wants: it has nothing to do.
    expect((await db.driver.createSchemaBuilder().log()).upQueries).toEqual([]);
    expect(await db.runMigrations({ transaction: 'all' })).toHaveLength(1);
    await db.undoLastMigration();
    expect(await db.showMigrations()).toBe(true);
    await db.runMigrations({ transaction: 'each' });
  });

  test('inserts, selects, updates and deletes', async () => {
    const repository = db.getRepository(authors);
    const [woolf, joyce] = await repository.save([{ name: 'Woolf' }, { name: 'Joyce' }]);
    await repository.save({ ...woolf!, born: 1882 });
    await repository.upsert({ name: 'Joyce', born: 1883 }, ['name']);
    expect(await repository.find({ order: { id: 'ASC' } })).toEqual([
      { id: woolf!.id, name: 'Woolf', born: 1882 },
      { id: joyce!.id, name: 'Joyce', born: 1883 },
    ]);
    expect((await repository.delete({ name: 'Joyce' })).affected).toBe(1);
  });

  test('loads relations', async () => {
    const author = await db.getRepository(authors).findOneByOrFail({ name: 'Woolf' });
    await db
      .getRepository(books)
      .save(['Orlando', 'The Waves'].map((title) => ({ title, author })));
    const found = await db.getRepository(authors).find({
      relations: { books: true },
      order: { books: { title: 'ASC' } },
    });
    expect(found[0]?.books?.map(({ title }) => title)).toEqual(['Orlando', 'The Waves']);
    const [some, count] = await db
      .getRepository(books)
      .createQueryBuilder('book')
      .innerJoinAndSelect('book.author', 'author')
      .where('author.born < :year', { year: 1900 })
      .take(1)
      .getManyAndCount();
    expect([some.length, count, some[0]?.author?.name]).toEqual([1, 2, 'Woolf']);
    const streamed = await db.getRepository(books).createQueryBuilder('book').stream();
    let rows = 0;
    for await (const _ of streamed) rows += 1;
    expect(rows).toBe(2);
  });

  test('commits, rolls back, and nests transactions', async () => {
    await expect(
      db.transaction(async (manager) => {
        await manager.insert(authors, { name: 'never' });
        await manager.insert(authors, { name: 'Woolf' });
      }),
    ).rejects.toMatchObject({ code: '23505' });
    await db.transaction('REPEATABLE READ', async (manager) => {
      await manager.insert(authors, { name: 'Stein' });
      await manager
        .transaction(async (inner) => {
          await inner.insert(authors, { name: 'undone' });
          throw new Error('back to the savepoint');
        })
        .catch(() => {});
    });
    const found = await db.getRepository(authors).find({ order: { name: 'ASC' } });
    expect(found.map(({ name }) => name)).toEqual(['Stein', 'Woolf']);
  });

  test('introspects', async () => {
    const runner = db.createQueryRunner();
    const table = await runner.getTable('book');
    expect(table?.columns.map(({ name, type }) => [name, type]).toSorted()).toEqual([
      ['authorId', 'integer'],
      ['id', 'integer'],
      ['title', 'text'],
      ['year', 'integer'],
    ]);
    expect(table?.foreignKeys).toMatchObject([{ referencedTableName: 'author' }]);
    expect(table?.indices).toMatchObject([{ name: 'book_title' }]);
    await runner.release();
  });
}
