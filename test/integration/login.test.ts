import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import pg from 'pg';
import postgres from 'postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type ConnectServerOptions,
  connectServer,
  ServerLoginError,
} from '../../src/pool/server-handshake.ts';
import * as backend from '../../src/protocol/backend.ts';
import { Backend, Frontend, TxStatus } from '../../src/protocol/codes.ts';
import { errorField } from '../../src/protocol/fields.ts';
import { anyLengthMax, FrameScanner, frontendLengthMax, Scan } from '../../src/protocol/frames.ts';
import * as frontend from '../../src/protocol/frontend.ts';
import { deriveScramVerifier, parseScramVerifier } from '../../src/protocol/scram.ts';
import { type ClientLogin, clientHandshake } from '../../src/session/client-handshake.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';

const timeoutMs = 30_000;

/** The client `postgres` knows no SASLprep. */
const asciiSecret = 'open sesame';

/** Changes under SASLprep. */
const secret = 'sésame \u2168 \u00ad!';

let cluster: TestCluster;

/** Role names say how pg_hba.conf has them log in. */
beforeAll(async () => {
  const loopback = '127.0.0.1/32';
  cluster = await startTestCluster({
    replicas: 0,
    hba: [
      `host all cleartext ${loopback} password`,
      `host all md5 ${loopback} md5`,
      `host all trusted ${loopback} trust`,
      `host all rejected ${loopback} reject`,
      `host all all ${loopback} scram-sha-256`,
    ],
  });
  await cluster.primary.query(`
    create role cleartext login password '${secret}';
    create role scram login password '${secret}';
    create role trusted login;
    create role rejected login;
    create role nopassword login;
    set password_encryption = 'md5';
    create role md5 login password '${secret}';
  `);
});

afterAll(async () => {
  await cluster?.stop();
});

function dial(user: string, options: Partial<ConnectServerOptions> = {}) {
  const { host, port, database } = cluster.primary;
  return connectServer({
    host,
    port,
    user,
    password: secret,
    database,
    connectTimeoutMs: timeoutMs,
    ...options,
  });
}

/** Sends the message and collects frames up to ReadyForQuery. */
async function ask(socket: Socket, message: Buffer): Promise<Buffer[]> {
  const scanner = new FrameScanner({
    lengthMax: anyLengthMax,
    assembledBytesMax: 65_536,
    headBytesMin: 64,
  });
  const frames: Buffer[] = [];
  socket.write(message);
  for (;;) {
    const [chunk] = (await Promise.all([once(socket, 'data'), socket.resume()]))[0];
    scanner.feed(chunk);
    while (scanner.next() === Scan.Frame) {
      frames.push(Buffer.from(scanner.buffer.subarray(scanner.start, scanner.end)));
    }
    if (frames.at(-1)?.[0] === Backend.ReadyForQuery) return frames;
  }
}

describe('connectServer on PostgreSQL', () => {
  it.each(['scram', 'md5', 'cleartext', 'trusted'])('logs in as %s', async (user) => {
    const params = [['application_name', 'tidemark test']] as const;
    const login = await dial(user, { params });
    expect(login.params.get('server_version')).toMatch(/^\d+/);
    expect(login.params.get('session_authorization')).toBe(user);
    expect(login.params.get('application_name')).toBe('tidemark test');
    expect(login.pid).toBeGreaterThan(0);
    expect(login.secret).toHaveLength(4);
    expect(login.rest).toHaveLength(0);
    const replies = await ask(login.socket, frontend.query('select current_user'));
    expect(replies[1]!.toString('latin1')).toContain(user);
    login.socket.destroy();
  });

  it('gets a key that cancels', async () => {
    const login = await dial('trusted');
    const replies = ask(login.socket, frontend.query('select pg_sleep(60)'));
    const sleeping = "select 1 from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'";
    while ((await cluster.primary.query(sleeping, [login.pid])).length === 0);
    const { host, port } = cluster.primary;
    const canceller = connect(port, host);
    canceller.end(frontend.cancelRequest(login.pid, login.secret));
    const error = (await replies).find((frame) => frame[0] === Backend.ErrorResponse);
    expect(error && errorField(error, 0, error.length, 'C')).toBe('57014');
    canceller.destroy();
    login.socket.destroy();
  });

  it.each<[string, Partial<ConnectServerOptions>, string]>([
    ['scram', { password: 'wrong' }, '28P01'],
    ['md5', { password: 'wrong' }, '28P01'],
    ['cleartext', { password: 'wrong' }, '28P01'],
    ['nopassword', {}, '28P01'],
    ['nobody', {}, '28P01'],
    ['rejected', {}, '28000'],
    ['trusted', { database: 'nowhere' }, '3D000'],
    ['trusted', { params: [['work_mem', 'nonsense']] }, '22023'],
  ])('as %s with %j is refused with %s', async (user, options, sqlstate) => {
    const error = await dial(user, options).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ServerLoginError);
    expect(error).toMatchObject({ sqlstate });
    const { frame } = error as ServerLoginError;
    expect(errorField(frame, 0, frame.length, 'S')).toBe('FATAL');
  });
});

describe('verifiers', () => {
  it('are those that PostgreSQL makes of the same password', async () => {
    const sql = 'select rolpassword from pg_authid where rolname = $1';
    const [{ rolpassword }] = await cluster.primary.query(sql, ['scram']);
    const stored = parseScramVerifier(rolpassword);
    expect(stored).not.toBeNull();
    expect(await deriveScramVerifier(secret, stored!.salt, stored!.iterations)).toEqual(stored);
  });
});

describe('clientHandshake with real clients', () => {
  let listener: Server;
  const logins: ClientLogin[] = [];
  const sockets: Socket[] = [];

  /** After the login: every simple query is answered with one row that names the user. */
  function serveQueries(socket: Socket, login: ClientLogin): void {
    const scanner = new FrameScanner({
      lengthMax: frontendLengthMax,
      assembledBytesMax: 65_536,
      headBytesMin: 64,
    });
    const ready = backend.readyForQuery(TxStatus.Idle);
    const key = backend.backendKeyData(77, Buffer.alloc(4, 1));
    const version = backend.parameterStatus('server_version', '18.0');
    socket.write(Buffer.concat([version, key, ready]));
    const read = (chunk: Buffer) => {
      scanner.feed(chunk);
      while (scanner.next() === Scan.Frame) {
        if (scanner.type !== Frontend.Query) continue;
        const columns = backend.rowDescription([{ name: 'who', typeOid: 25 }]);
        const row = backend.dataRow([login.user]);
        socket.write(Buffer.concat([columns, row, backend.commandComplete('SELECT 1'), ready]));
      }
    };
    socket.on('error', () => {});
    socket.on('data', read);
    read(login.rest);
    socket.resume();
  }

  beforeAll(async () => {
    const verifiers = new Map([
      ['app', await deriveScramVerifier(secret)],
      ['ascii', await deriveScramVerifier(asciiSecret)],
    ]);
    listener = createServer((socket) => {
      sockets.push(socket);
      void clientHandshake(socket, {
        authentication: {
          method: 'scram-sha-256',
          verifierOf: (user) => verifiers.get(user) ?? null,
          mockSecret: Buffer.from('mock'),
        },
        loginTimeoutMs: timeoutMs,
        onCancel: () => {},
      }).then((login) => {
        if (login === null) return;
        logins.push(login);
        serveQueries(socket, login);
      });
    }).listen(0, '127.0.0.1');
    await once(listener, 'listening');
  });

  afterAll(async () => {
    for (const socket of sockets) socket.destroy();
    listener.close();
    await once(listener, 'close');
  });

  function target(user: string, password: string) {
    const { port } = listener.address() as AddressInfo;
    return { host: '127.0.0.1', port, user, password, database: 'shop' };
  }

  it('pg logs in and queries', async () => {
    const client = new pg.Client({ ...target('app', secret), application_name: 'by pg' });
    await client.connect();
    expect((await client.query('select 1')).rows).toEqual([{ who: 'app' }]);
    await client.end();
    expect(logins.at(-1)).toMatchObject({ user: 'app', database: 'shop' });
    expect(logins.at(-1)?.params.get('application_name')).toBe('by pg');
  });

  it('postgres logs in, where encryption is preferred, and queries', async () => {
    const sql = postgres({
      ...target('ascii', asciiSecret),
      ssl: 'prefer',
      fetch_types: false,
      max: 1,
    });
    expect([...(await sql`select 1`.simple())]).toEqual([{ who: 'ascii' }]);
    await sql.end();
  });

  it.each([
    ['app', 'wrong'],
    ['nobody', secret],
  ])('%s with password %j is refused by both clients', async (user, password) => {
    const refused = {
      code: '28P01',
      severity: 'FATAL',
      message: `password authentication failed for user "${user}"`,
    };
    const client = new pg.Client(target(user, password));
    client.on('error', () => {});
    await expect(client.connect()).rejects.toMatchObject(refused);
    const sql = postgres({ ...target(user, password), fetch_types: false, max: 1 });
    await expect(sql`select 1`.simple()).rejects.toMatchObject(refused);
    await sql.end();
  });

  it('a client that insists on encryption is told that there is none', async () => {
    const client = new pg.Client({ ...target('app', secret), ssl: true });
    client.on('error', () => {});
    await expect(client.connect()).rejects.toThrow('The server does not support SSL connections');
  });
});
