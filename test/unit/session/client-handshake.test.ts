import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { LoginAborted } from '../../../src/pool/login-socket.ts';
import { errorField } from '../../../src/protocol/fields.ts';
import { anyLengthMax, FrameScanner, Scan } from '../../../src/protocol/frames.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { deriveScramVerifier, type ScramVerifier } from '../../../src/protocol/scram.ts';
import { ScramClient } from '../../../src/protocol/scram-client.ts';
import {
  type ClientHandshakeOptions,
  type ClientLogin,
  clientHandshake,
} from '../../../src/session/client-handshake.ts';

/** Far beyond what a test takes: it is for the tests in which nothing should time out. */
const ampleTimeoutMs = 60_000;

let verifier: ScramVerifier;
beforeAll(async () => {
  verifier = await deriveScramVerifier('secret');
});

const trust: Partial<ClientHandshakeOptions> = { authentication: { method: 'trust' } };

interface Attempt {
  readonly client: Socket;
  readonly server: Socket;
  readonly login: Promise<ClientLogin | null>;
  readonly failures: Error[];
  /** All that the client has received. */
  received(): Buffer;
}

let listener: Server;
let sockets: Socket[];

beforeEach(async () => {
  sockets = [];
  listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
});

afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  listener.close();
  await once(listener, 'close');
});

/** A connection with the handshake running on its server side. */
async function attempt(
  options: Partial<ClientHandshakeOptions> = {},
  allowHalfOpen = false,
): Promise<Attempt> {
  const { port } = listener.address() as AddressInfo;
  const client = connect({ port, noDelay: true, allowHalfOpen });
  const [server] = (await once(listener, 'connection')) as [Socket];
  sockets.push(client, server);
  const chunks: Buffer[] = [];
  client.on('data', (chunk: Buffer) => chunks.push(chunk));
  client.on('error', () => {});
  const failures: Error[] = [];
  const login = clientHandshake(server, {
    authentication: {
      method: 'scram-sha-256',
      verifierOf: (user) => (user === 'app' ? verifier : null),
      mockSecret: Buffer.from('mock'),
    },
    loginTimeoutMs: ampleTimeoutMs,
    onCancel: () => {
      throw new Error('unexpected cancel request');
    },
    onFailure: (error) => failures.push(error),
    ...options,
  });
  return { client, server, login, failures, received: () => Buffer.concat(chunks) };
}

function frames(bytes: Buffer): Buffer[] {
  const options = { lengthMax: anyLengthMax, assembledBytesMax: 65_536, headBytesMin: 64 };
  const scanner = new FrameScanner(options);
  const found: Buffer[] = [];
  scanner.feed(bytes);
  while (scanner.next() === Scan.Frame) found.push(bytes.subarray(scanner.start, scanner.end));
  return found;
}

/** Waits until the client has received `count` frames. */
async function receiveFrames({ client, received }: Attempt, count: number): Promise<Buffer[]> {
  while (frames(received()).length < count) await once(client, 'data');
  return frames(received());
}

async function closed(socket: Socket): Promise<void> {
  if (!socket.closed) await once(socket, 'close');
}

function described(frame: Buffer | undefined): string {
  if (frame === undefined) return 'nothing';
  const field = (code: string) => errorField(frame, 0, frame.length, code);
  return `${field('S')} ${field('C')} ${field('M')}`;
}

/** The login fails, the client is told this as the last thing, and the connection ends. */
async function expectRefusal(tried: Attempt, expected: string): Promise<void> {
  expect(await tried.login).toBeNull();
  await closed(tried.client);
  await closed(tried.server);
  expect(described(frames(tried.received()).at(-1))).toBe(expected);
  expect(tried.failures).toHaveLength(1);
  expectNoListeners(tried.server);
}

/** Only what node:net itself attaches may be left. */
function expectNoListeners(socket: Socket): void {
  expect(socket.listenerCount('data')).toBe(0);
  expect(socket.listenerCount('close')).toBe(0);
}

function startup(params: Record<string, string> = {}, minor = 0): Buffer {
  return frontend.startup(Object.entries({ user: 'app', ...params }), minor);
}

/** Sends the client's part of SCRAM after the startup packet. */
async function proveWith(
  tried: Attempt,
  secret: string,
  after: Buffer = Buffer.alloc(0),
): Promise<void> {
  const scram = new ScramClient(secret);
  await receiveFrames(tried, 1);
  tried.client.write(frontend.saslInitialResponse('SCRAM-SHA-256', scram.firstMessage));
  const challenge = (await receiveFrames(tried, 2))[1]!.toString('latin1', 9);
  const proof = frontend.saslResponse(await scram.respond(challenge));
  tried.client.write(Buffer.concat([proof, after]));
}

describe('a login by trust', () => {
  it('hands over user, database, parameters and the bytes behind the startup packet', async () => {
    const tried = await attempt(trust);
    const params = { database: 'shop', application_name: 'test', replication: 'off' };
    tried.client.write(Buffer.concat([startup(params), frontend.query('select 1')]));
    const login = await tried.login;
    expect(login).toEqual({
      user: 'app',
      database: 'shop',
      replication: null,
      params: new Map([['application_name', 'test']]),
      protocolMinor: 0,
      rest: frontend.query('select 1'),
    });
    expect(await receiveFrames(tried, 1)).toEqual([Buffer.from('R\0\0\0\x08\0\0\0\0')]);
    expect(tried.server.isPaused()).toBe(true);
    expectNoListeners(tried.server);
    await new Promise(setImmediate);
    expect(tried.server.listenerCount('error')).toBe(0);
  });

  it.each([
    ['database', 'logical'],
    ['on', 'physical'],
    ['0', null],
  ] as const)('reads replication=%s as %s', async (replication, kind) => {
    const tried = await attempt(trust);
    tried.client.write(startup({ replication }));
    expect(await tried.login).toMatchObject({ replication: kind, params: new Map() });
  });

  it('names the database after the user where none is given', async () => {
    for (const params of [{}, { database: '' }]) {
      const tried = await attempt(trust);
      tried.client.write(startup(params));
      expect(await tried.login).toMatchObject({ user: 'app', database: 'app' });
    }
  });

  it('takes a startup packet byte by byte', async () => {
    const tried = await attempt(trust);
    for (const byte of startup({ database: 'shop' })) {
      tried.client.write(Buffer.from([byte]));
      await new Promise(setImmediate);
    }
    expect(await tried.login).toMatchObject({ database: 'shop' });
  });

  it('refuses encryption of both kinds, in either order, and goes on', async () => {
    for (const requests of [
      [frontend.sslRequest, frontend.gssEncRequest],
      [frontend.gssEncRequest, frontend.sslRequest],
    ]) {
      const tried = await attempt(trust);
      for (const [i, request] of requests.entries()) {
        tried.client.write(request);
        while (tried.received().length < i + 1) await once(tried.client, 'data');
      }
      expect(tried.received().toString()).toBe('NN');
      tried.client.write(startup());
      expect(await tried.login).toMatchObject({ user: 'app' });
    }
  });
});

describe('protocol versions', () => {
  it.each([0, 1, 2])('3.%i is taken as it is', async (minor) => {
    const tried = await attempt(trust);
    tried.client.write(startup({}, minor));
    expect(await tried.login).toMatchObject({ protocolMinor: minor });
    expect((await receiveFrames(tried, 1))[0]!.toString('latin1', 0, 1)).toBe('R');
  });

  it.each([3, 9999])('3.%i is answered with 3.2', async (minor) => {
    const tried = await attempt(trust);
    tried.client.write(startup({}, minor));
    expect(await tried.login).toMatchObject({ protocolMinor: 2 });
    const [negotiate] = await receiveFrames(tried, 2);
    expect(negotiate!.toString('latin1')).toBe('v\0\0\0\x0c\0\x03\0\x02\0\0\0\0');
  });

  it('unknown protocol options are named and not taken for settings', async () => {
    const tried = await attempt(trust);
    tried.client.write(startup({ '_pq_.thing': '1' }));
    const login = await tried.login;
    expect(login?.params.size).toBe(0);
    const [negotiate] = await receiveFrames(tried, 2);
    expect(negotiate!.toString('latin1')).toBe('v\0\0\0\x17\0\x03\0\0\0\0\0\x01_pq_.thing\0');
  });

  it.each([
    [2 << 16, '2.0'],
    [(4 << 16) | 1, '4.1'],
  ])('version word %i is refused', async (version, name) => {
    const tried = await attempt(trust);
    const packet = startup();
    packet.writeInt32BE(version, 4);
    tried.client.write(packet);
    await expectRefusal(
      tried,
      `FATAL 0A000 unsupported frontend protocol ${name}: server supports 3.0 to 3.2`,
    );
  });
});

describe('a cancel request', () => {
  it.each([4, 32, 256])('with a key of %i bytes is passed on, then closed', async (bytes) => {
    const seen: unknown[] = [];
    let finish = () => {};
    const tried = await attempt({
      onCancel: (pid, secret) => {
        seen.push([pid, secret]);
        return new Promise((resolve) => {
          finish = resolve;
        });
      },
    });
    const secret = Buffer.alloc(bytes, 9);
    tried.client.write(frontend.cancelRequest(1234, secret));
    while (seen.length === 0) await new Promise(setImmediate);
    expect(seen).toEqual([[1234, secret]]);
    // The client takes the close as the sign that the cancel is done.
    expect(tried.client.closed).toBe(false);
    finish();
    expect(await tried.login).toBeNull();
    await closed(tried.client);
    expect(tried.received()).toHaveLength(0);
    expect(tried.failures).toHaveLength(0);
  });

  it('that fails closes the connection all the same', async () => {
    const tried = await attempt({ onCancel: () => Promise.reject(new Error('no')) });
    tried.client.write(frontend.cancelRequest(1, Buffer.alloc(4)));
    expect(await tried.login).toBeNull();
    await closed(tried.client);
  });
});

describe('a startup packet is refused', () => {
  it.each([0, 3, 7, 10_001, 0x7fff_ffff, -1])(
    'for a length of %i, before the rest arrives',
    async (length) => {
      const tried = await attempt(trust);
      const word = Buffer.alloc(4);
      word.writeInt32BE(length);
      tried.client.write(word);
      await expectRefusal(tried, 'FATAL 08P01 invalid length of startup packet');
    },
  );

  it('when it really has 10,001 bytes, and taken with 10,000', async () => {
    const fill = (bytes: number) => {
      const overhead = startup({ application_name: '' }).length;
      return startup({ application_name: 'x'.repeat(bytes - overhead) });
    };
    expect(fill(10_001)).toHaveLength(10_001);
    const tooLong = await attempt(trust);
    tooLong.client.write(fill(10_001));
    await expectRefusal(tooLong, 'FATAL 08P01 invalid length of startup packet');
    const fits = await attempt(trust);
    fits.client.write(fill(10_000));
    expect(await fits.login).not.toBeNull();
  });

  it.each<[string, Record<string, string>, string]>([
    ['without a user', { user: '' }, '28000 no PostgreSQL user name specified in startup packet'],
    [
      'with nonsense for replication',
      { replication: 'maybe' },
      '22023 invalid value for parameter "replication": "maybe"',
    ],
  ])('%s', async (_, params, expected) => {
    const tried = await attempt(trust);
    tried.client.write(startup(params));
    await expectRefusal(tried, `FATAL ${expected}`);
  });

  it('with another last byte than the terminator', async () => {
    const tried = await attempt(trust);
    const packet = startup();
    packet[packet.length - 1] = 1;
    tried.client.write(packet);
    await expectRefusal(
      tried,
      'FATAL 08P01 invalid startup packet layout: expected terminator as last byte',
    );
  });

  it('when it comes before the answer to a request for encryption', async () => {
    for (const [request, name] of [
      [frontend.sslRequest, 'SSL'],
      [frontend.gssEncRequest, 'GSSAPI encryption'],
    ] as const) {
      const tried = await attempt(trust);
      tried.client.write(Buffer.concat([request, startup()]));
      await expectRefusal(tried, `FATAL 08P01 received unencrypted data after ${name} request`);
      const refusal = frames(tried.received()).at(-1)!;
      expect(errorField(refusal, 0, refusal.length, 'D')).toContain('man-in-the-middle');
    }
  });

  it('when encryption is asked for again', async () => {
    const tried = await attempt(trust);
    tried.client.write(frontend.sslRequest);
    await once(tried.client, 'data');
    tried.client.write(frontend.sslRequest);
    expect(await tried.login).toBeNull();
    await closed(tried.client);
    expect(described(tried.received().subarray(1))).toMatch(/^FATAL 0A000 .* 1234\.5679/);
  });
});

describe('a login by SCRAM', () => {
  it('succeeds with the password, and hands over what was sent behind the proof', async () => {
    const tried = await attempt();
    tried.client.write(startup());
    await proveWith(tried, 'secret', frontend.sync);
    expect(await tried.login).toMatchObject({ user: 'app', rest: frontend.sync });
    const received = await receiveFrames(tried, 4);
    expect(received.map((frame) => frame.readInt32BE(5))).toEqual([10, 11, 12, 0]);
  });

  it('fails with a wrong password and for an unknown user in the same way', async () => {
    const wrong = await attempt();
    wrong.client.write(startup());
    await proveWith(wrong, 'wrong');
    await expectRefusal(wrong, 'FATAL 28P01 password authentication failed for user "app"');
    const unknown = await attempt();
    unknown.client.write(startup({ user: 'who' }));
    await proveWith(unknown, 'secret');
    await expectRefusal(unknown, 'FATAL 28P01 password authentication failed for user "who"');
    const sizes = (tried: Attempt) => frames(tried.received()).map(({ length }) => length);
    expect(sizes(unknown)).toEqual(sizes(wrong));
  });

  it('takes a client that sends its first message only when asked again', async () => {
    const tried = await attempt();
    tried.client.write(startup());
    await receiveFrames(tried, 1);
    const empty = frontend.saslInitialResponse('SCRAM-SHA-256', '');
    empty.writeInt32BE(-1, empty.length - 4);
    tried.client.write(empty);
    const scram = new ScramClient('secret');
    await receiveFrames(tried, 2);
    tried.client.write(frontend.saslResponse(scram.firstMessage));
    const challenge = (await receiveFrames(tried, 3))[2]!.toString('latin1', 9);
    tried.client.write(frontend.saslResponse(await scram.respond(challenge)));
    expect(await tried.login).not.toBeNull();
  });

  it.each<[string, Buffer, string]>([
    ['another message', frontend.query('select 1'), 'expected SASL response, got message type 81'],
    ['a message that is too long', frontend.password('x'.repeat(1024)), 'invalid message length'],
    ['a length of 3', Buffer.from('p\0\0\0\x03'), 'invalid message length'],
    ['a length of 2^31-1', Buffer.from([0x70, 0x7f, 255, 255, 255]), 'invalid message length'],
    ['an empty message', frontend.saslResponse(''), 'invalid string in message'],
    [
      'another mechanism',
      frontend.saslInitialResponse('SCRAM-SHA-256-PLUS', 'n,,n=,r=c'),
      'client selected an invalid SASL authentication mechanism',
    ],
    [
      'garbage',
      frontend.saslInitialResponse('SCRAM-SHA-256', 'garbage'),
      'malformed SCRAM message',
    ],
    [
      'bytes behind the data',
      frontend.saslResponse('SCRAM-SHA-256\0\0\0\0\x01nx'),
      'invalid message format',
    ],
    [
      'a length larger than the data',
      frontend.saslResponse('SCRAM-SHA-256\0\x7f\0\0\x01n'),
      'insufficient data left in message',
    ],
  ])('refuses %s', async (_, message, expected) => {
    const tried = await attempt();
    tried.client.write(startup());
    await receiveFrames(tried, 1);
    tried.client.write(message);
    await expectRefusal(tried, `FATAL 08P01 ${expected}`);
  });

  it('never reads more of a flood than one chunk', async () => {
    const tried = await attempt({
      authentication: {
        method: 'scram-sha-256',
        verifierOf: () => new Promise(() => {}),
        mockSecret: Buffer.alloc(1),
      },
    });
    tried.client.write(startup());
    await receiveFrames(tried, 1);
    tried.client.write(frontend.saslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=c'));
    // Until the kernel's buffers of both sides are full and nothing moves any more.
    const flood = Buffer.alloc(1 << 20);
    for (let i = 0; i < 32; i++) tried.client.write(flood);
    let before = -1;
    while (tried.server.bytesRead !== before) {
      before = tried.server.bytesRead;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(tried.server.bytesRead).toBeLessThan(1 << 18);
    tried.client.destroy();
    tried.server.destroy();
    expect(await tried.login).toBeNull();
  });
});

describe('a refused client', () => {
  it('is heard to the end, so that the reason is not lost in a reset', async () => {
    const tried = await attempt(trust);
    const flood = Buffer.alloc(1 << 20);
    tried.client.write(Buffer.alloc(4));
    tried.client.write(flood);
    await expectRefusal(tried, 'FATAL 08P01 invalid length of startup packet');
    expect(tried.server.bytesRead).toBe(4 + flood.length);
  });

  it('is cut off where it never closes its side', async () => {
    const tried = await attempt(trust, true);
    tried.client.write(Buffer.alloc(4));
    expect(await tried.login).toBeNull();
    await closed(tried.server);
    expect(tried.client.writable).toBe(true);
  });
});

describe('the login deadline', () => {
  it('cuts off a client that sends nothing', async () => {
    const tried = await attempt({ loginTimeoutMs: 20 });
    await expectRefusal(tried, 'FATAL 08P01 canceling authentication due to timeout');
  });

  it('cuts off a client that sends a byte now and then', async () => {
    const tried = await attempt({ ...trust, loginTimeoutMs: 100 });
    const packet = startup({ application_name: 'x'.repeat(5000) });
    let sent = 0;
    const drip = setInterval(() => {
      if (tried.client.writable) tried.client.write(packet.subarray(sent, ++sent));
    }, 5);
    await expectRefusal(tried, 'FATAL 08P01 canceling authentication due to timeout');
    clearInterval(drip);
    expect(sent).toBeLessThan(packet.length);
  });

  it('cuts off a client in the middle of SCRAM, also while its verifier is looked up', async () => {
    const tried = await attempt({
      authentication: {
        method: 'scram-sha-256',
        verifierOf: () => new Promise(() => {}),
        mockSecret: Buffer.alloc(1),
      },
      loginTimeoutMs: 100,
    });
    tried.client.write(startup());
    await receiveFrames(tried, 1);
    tried.client.write(frontend.saslInitialResponse('SCRAM-SHA-256', 'n,,n=,r=c'));
    await expectRefusal(tried, 'FATAL 08P01 canceling authentication due to timeout');
  });
});

describe('a client that goes away', () => {
  it('after any byte of its startup packet leaves nothing behind', async () => {
    const packet = startup();
    for (let sent = 0; sent < packet.length; sent++) {
      const tried = await attempt(trust);
      if (sent % 2 === 0) tried.client.end(packet.subarray(0, sent));
      else tried.client.write(packet.subarray(0, sent), () => tried.client.resetAndDestroy());
      expect(await tried.login).toBeNull();
      await closed(tried.server);
      expect(tried.failures[0]).toBeInstanceOf(LoginAborted);
      expectNoListeners(tried.server);
    }
  });

  it('after any byte of its proof leaves nothing behind', async () => {
    const scram = new ScramClient('secret');
    const first = frontend.saslInitialResponse('SCRAM-SHA-256', scram.firstMessage);
    for (let sent = 0; sent < first.length; sent += 3) {
      const tried = await attempt();
      tried.client.write(startup());
      await receiveFrames(tried, 1);
      tried.client.end(first.subarray(0, sent));
      expect(await tried.login).toBeNull();
      await closed(tried.server);
      expectNoListeners(tried.server);
    }
  });

  it('before the handshake starts is noticed', async () => {
    const tried = await attempt(trust);
    tried.server.destroy();
    expect(await tried.login).toBeNull();
    const late = clientHandshake(tried.server, {
      authentication: { method: 'trust' },
      loginTimeoutMs: ampleTimeoutMs,
      onCancel: () => {},
    });
    expect(await late).toBeNull();
  });
});
