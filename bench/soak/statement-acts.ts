import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { from, to } from 'pg-copy-streams';
import { type Act, type Actor, rows, table } from './act.ts';

const anyRow = ({ random }: Actor) => 1 + random.integer(rows);
const read = `SELECT value FROM ${table} WHERE id = $1`;
const write = `UPDATE ${table} SET value = value + 1 WHERE id = $1`;
const copiedLines = 200;

/** What ends as it should, and leaves the client as it was. */
export const statementActs: Readonly<Record<string, Act>> = {
  'simple read': {
    run: (actor) => actor.client.query(`SELECT value FROM ${table} WHERE id = ${anyRow(actor)}`),
  },
  'extended read': { run: (actor) => actor.client.query(read, [anyRow(actor)]) },
  'prepared read': {
    run: (actor) => actor.client.query({ name: 'read', text: read, values: [anyRow(actor)] }),
  },
  'larger read': {
    run: ({ client }) => client.query(`SELECT id, repeat('x', 200) FROM ${table}`),
  },
  'simple write': {
    run: ({ client, id }) => client.query(`UPDATE ${table} SET value = value + 1 WHERE id = ${id}`),
  },
  'prepared write': {
    run: ({ client, id }) => client.query({ name: 'write', text: write, values: [id] }),
  },
  transaction: {
    run: async ({ client, id, random }) => {
      await client.query('BEGIN');
      await client.query(write, [id]);
      await client.query(read, [id]);
      await client.query(random.chance(0.5) ? 'COMMIT' : 'ROLLBACK');
    },
  },
  'read-only transaction': {
    run: async (actor) => {
      await actor.client.query('BEGIN READ ONLY');
      await actor.client.query(read, [anyRow(actor)]);
      await actor.client.query('COMMIT');
    },
  },
  settings: {
    run: async ({ client, random }) => {
      await client.query(`SET work_mem = '${1_000 + random.integer(9_000)}kB'`);
      await client.query(`SET application_name = 'soak ${random.integer(5)}'`);
      await client.query('SHOW work_mem');
      if (random.chance(0.5)) await client.query('RESET ALL');
    },
  },
  'LISTEN and NOTIFY': {
    run: async ({ client, id, random }) => {
      await client.query(`LISTEN soak_${id}`);
      await client.query(`NOTIFY soak_${random.integer(id + 1)}, 'news'`);
      if (random.chance(0.7)) await client.query('UNLISTEN *');
    },
  },
  'COPY in': {
    run: async ({ client, id }) => {
      await client.query('BEGIN');
      await client.query('CREATE TEMP TABLE copied (id int, line text) ON COMMIT DROP');
      const lines = Array.from({ length: copiedLines }, (_, line) => `${id}\t${line}\n`);
      await pipeline(Readable.from(lines), client.query(from('COPY copied FROM STDIN')));
      await client.query('COMMIT');
    },
  },
  'COPY out': {
    run: ({ client }) =>
      pipeline(
        client.query(to(`COPY (SELECT * FROM ${table}) TO STDOUT`)),
        new Writable({ write: (_chunk, _encoding, done) => done() }),
      ),
  },
  'temporary table': {
    run: async ({ client }) => {
      await client.query('CREATE TEMP TABLE IF NOT EXISTS mine AS SELECT 1 AS one');
      await client.query('SELECT one FROM mine');
      await client.query('DROP TABLE mine');
    },
  },
  'advisory lock': {
    run: async ({ client, id }) => {
      await client.query('SELECT pg_advisory_lock($1)', [id]);
      await client.query('SELECT pg_advisory_unlock($1)', [id]);
    },
  },
};
