import { DataTypes, type Model, type ModelStatic, Sequelize, Transaction } from 'sequelize';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectionsMax, type Database } from './database.ts';

// biome-ignore lint/suspicious/noExplicitAny: models without classes of their own
type AnyModel = ModelStatic<Model<any>>;

export function sequelizeTests(database: () => Database): void {
  let db: Sequelize;
  let authors: AnyModel;
  let books: AnyModel;

  beforeAll(() => {
    db = new Sequelize(database().url, { logging: false, pool: { max: connectionsMax } });
    authors = db.define('author', { name: { type: DataTypes.STRING(50), unique: true } });
    books = db.define('book', {
      title: DataTypes.TEXT,
      kind: DataTypes.ENUM('novel', 'poem'),
      tags: DataTypes.ARRAY(DataTypes.TEXT),
    });
    authors.hasMany(books);
    books.belongsTo(authors);
  });

  afterAll(() => db?.close());

  const names = async () =>
    (await authors.findAll({ order: ['name'] })).map((author) => author.get('name'));

  test('makes tables and alters them', async () => {
    await db.sync();
    const tool = db.getQueryInterface();
    await tool.addColumn('authors', 'born', DataTypes.INTEGER);
    await tool.addIndex('books', ['title']);
    authors = db.define('author', {
      name: { type: DataTypes.STRING(80), unique: true },
      born: DataTypes.INTEGER,
    });
    authors.hasMany(books);
    await authors.sync({ alter: true });
    await tool.renameColumn('books', 'title', 'name');
    await tool.renameColumn('books', 'name', 'title');
  });

  test('inserts, selects, updates and deletes', async () => {
    await authors.bulkCreate([{ name: 'Woolf' }, { name: 'Joyce' }]);
    expect(await authors.update({ born: 1882 }, { where: {} })).toEqual([2]);
    await authors.upsert({ name: 'Joyce', born: 1883 });
    const [joyce, isNew] = await authors.findOrCreate({ where: { name: 'Joyce' } });
    expect([joyce.get('born'), isNew]).toEqual([1883, false]);
    const [stein, isNewToo] = await authors.findOrCreate({ where: { name: 'Stein' } });
    expect([stein.get('name'), isNewToo]).toEqual(['Stein', true]);
    expect(await authors.destroy({ where: { name: ['Joyce', 'Stein'] } })).toBe(2);
    expect(await names()).toEqual(['Woolf']);
  });

  test('loads relations', async () => {
    const woolf = await authors.findOne({ where: { name: 'Woolf' }, rejectOnEmpty: true });
    const shelf = ['Orlando', 'The Waves'].map((title) => ({
      title,
      kind: 'novel',
      tags: ['a', 'b'],
      authorId: woolf.get('id'),
    }));
    await books.bulkCreate(shelf);
    const found = await authors.findAll({ include: books, order: [[books, 'title', 'ASC']] });
    const [first] = found.map((author) => author.toJSON());
    expect(first).toMatchObject({ name: 'Woolf', books: shelf });
    expect(await books.count({ where: { kind: 'novel' } })).toBe(2);
  });

  test('commits, rolls back, and nests transactions', async () => {
    await expect(
      db.transaction(async (transaction) => {
        await authors.create({ name: 'never' }, { transaction });
        await authors.create({ name: 'Woolf' }, { transaction });
      }),
    ).rejects.toThrow('Validation error');
    const isolationLevel = Transaction.ISOLATION_LEVELS.SERIALIZABLE;
    await db.transaction({ isolationLevel }, async (transaction) => {
      await authors.create({ name: 'Stein' }, { transaction });
      await db
        .transaction({ transaction }, async (inner) => {
          await authors.create({ name: 'undone' }, { transaction: inner });
          throw new Error('back to the savepoint');
        })
        .catch(() => {});
    });
    expect(await names()).toEqual(['Stein', 'Woolf']);
  });

  test('introspects', async () => {
    const tool = db.getQueryInterface();
    expect((await tool.showAllTables()).toSorted()).toEqual(['authors', 'books']);
    expect(await tool.describeTable('authors')).toMatchObject({
      name: { type: 'CHARACTER VARYING(80)' },
      born: { type: 'INTEGER', allowNull: true },
    });
    expect(await tool.getForeignKeyReferencesForTable('books')).toMatchObject([
      { columnName: 'authorId', referencedTableName: 'authors' },
    ]);
  });
}
