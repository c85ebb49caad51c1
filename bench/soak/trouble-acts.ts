import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type pg from 'pg';
import { cancelRequest } from '../../src/protocol/frontend.ts';
import { type Act, type Actor, table } from './act.ts';

/** What node-postgres keeps of its connection. */
interface Wire {
  readonly connection: { readonly stream: { destroy(): void } };
  readonly processID: number;
  readonly secretKey: number;
}

const wireOf = (client: pg.Client) => client as unknown as Wire;

function vanish(client: pg.Client): void {
  wireOf(client).connection.stream.destroy();
}

/** Nobody will hear how it ends. */
function startAndForget(client: pg.Client, sql: string): void {
  client.query(sql).catch(() => undefined);
}

async function cancel({ client, login }: Actor): Promise<void> {
  const secret = Buffer.alloc(4);
  secret.writeInt32BE(wireOf(client).secretKey);
  const { host, port } = login;
  const socket = connect({ host, port }, () =>
    socket.end(cancelRequest(wireOf(client).processID, secret)),
  );
  socket.on('error', () => {});
  await new Promise((resolve) => socket.on('close', resolve).resume());
}

/** Before a cancel request is taken for lost. */
const patienceMs = 200;

/** One that comes before the server has begun is lost, as PostgreSQL's own are: another follows. */
async function cancelled(actor: Actor, sql: string): Promise<void> {
  const running = actor.client.query(sql);
  // What comes of it is looked at below.
  const ended = running.then(
    () => true,
    () => true,
  );
  do {
    await sleep(actor.random.between(1, 50));
    await cancel(actor);
  } while (!(await Promise.race([ended, sleep(patienceMs, false)])));
  await running;
}

const update = (id: number) => `UPDATE ${table} SET value = value + 1 WHERE id = ${id}`;

/** What goes wrong, and must leave nothing behind. */
export const troubleActs: Readonly<Record<string, Act>> = {
  'syntax error': { run: ({ client }) => client.query('SELEC 1'), fails: '42601' },
  'error in a read': { run: ({ client }) => client.query('SELECT 1 / $1', [0]), fails: '22012' },
  'error in a transaction': {
    run: async ({ client, id }) => {
      await client.query('BEGIN');
      try {
        await client.query(update(id));
        await client.query('SELECT 1 / 0');
      } finally {
        await client.query('ROLLBACK');
      }
    },
    fails: '22012',
  },
  'cancelled read': { run: (actor) => cancelled(actor, 'SELECT pg_sleep(10)'), fails: '57014' },
  'cancelled write': {
    run: (actor) => cancelled(actor, `${update(actor.id)} RETURNING pg_sleep(10)`),
    fails: '57014',
  },
  'statement time-out': {
    run: async ({ client }) => {
      await client.query("SET statement_timeout = '20ms'");
      try {
        await client.query('SELECT pg_sleep(10)');
      } finally {
        await client.query('RESET statement_timeout');
      }
    },
    fails: '57014',
  },
  'vanish in a read': {
    run: async ({ client }) => {
      startAndForget(client, 'SELECT pg_sleep(0.05)');
      await sleep(5);
      vanish(client);
    },
    isLast: true,
  },
  'vanish in a result': {
    run: async ({ client }) => {
      startAndForget(client, `SELECT repeat('x', 1000) FROM generate_series(1, 20000)`);
      await sleep(3);
      vanish(client);
    },
    isLast: true,
  },
  'vanish in a transaction': {
    run: async ({ client, id }) => {
      await client.query('BEGIN');
      await client.query(update(id));
      vanish(client);
    },
    isLast: true,
  },
  'vanish in a COPY': {
    run: async ({ client }) => {
      startAndForget(client, `COPY ${table} FROM STDIN`);
      await sleep(5);
      vanish(client);
    },
    isLast: true,
  },
  'vanish with a temporary table': {
    run: async ({ client }) => {
      await client.query('CREATE TEMP TABLE left_behind AS SELECT 1 AS one');
      vanish(client);
    },
    isLast: true,
  },
  'vanish listening': {
    run: async ({ client, id }) => {
      await client.query(`LISTEN soak_${id}`);
      vanish(client);
    },
    isLast: true,
  },
};
