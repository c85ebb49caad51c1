import { afterAll, beforeAll, describe } from 'vitest';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { startTestProxy, type TestProxy } from '../support/proxy.ts';
import type { Database } from './orms/database.ts';
import { drizzleTests } from './orms/drizzle.ts';
import { knexTests } from './orms/knex.ts';
import { kyselyTests } from './orms/kysely.ts';
import { sequelizeTests } from './orms/sequelize.ts';
import { typeormTests } from './orms/typeorm.ts';

let cluster: TestCluster;
let proxy: TestProxy;

const orms: readonly (readonly [string, (database: () => Database) => void])[] = [
  ['Drizzle over node-postgres', (database) => drizzleTests(database, 'node-postgres')],
  ['Drizzle over postgres.js', (database) => drizzleTests(database, 'postgres.js')],
  ['Knex', knexTests],
  ['Kysely', kyselyTests],
  ['Sequelize', sequelizeTests],
  ['TypeORM', typeormTests],
];

const nameOf = (orm: number) => `orm_${orm}`;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  for (const orm of orms.keys()) await cluster.primary.query(`CREATE DATABASE ${nameOf(orm)}`);
  await cluster.waitForCatchup();
  // Fewer than an ORM's pool has: its connections take turns.
  proxy = await startTestProxy(cluster, { pool: { size: 3, statementsMax: 10 } });
});

afterAll(async () => {
  await proxy?.stop();
  await cluster?.stop();
});

describe.each(orms.map(([name, run], orm) => [name, run, orm] as const))('%s', (_, run, orm) => {
  run(() => {
    const url = new URL(proxy.url);
    url.pathname = nameOf(orm);
    return { url: url.href };
  });
});
