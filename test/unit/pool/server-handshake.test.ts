import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  type ConnectServerOptions,
  connectServer,
  ServerConnectError,
  ServerLoginError,
} from '../../../src/pool/server-handshake.ts';
import * as backend from '../../../src/protocol/backend.ts';
import { TxStatus } from '../../../src/protocol/codes.ts';
import { md5Password } from '../../../src/protocol/md5.ts';
import { deriveScramVerifier, type ScramVerifier } from '../../../src/protocol/scram.ts';
import { ScramServer } from '../../../src/protocol/scram-server.ts';
import { parseStartupPacket, type StartupPacket } from '../../../src/protocol/startup.ts';

const ampleTimeoutMs = 60_000;
const password = 'open sesame';

let verifier: ScramVerifier;
beforeAll(async () => {
  verifier = await deriveScramVerifier(password);
});

/** The server's end of a connection: what the script reads and writes. */
class Peer {
  readonly socket: Socket;
  startup: StartupPacket | null = null;
  #held = Buffer.alloc(0);

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => {
      this.#held = Buffer.concat([this.#held, chunk]);
    });
  }

  send(...messages: Buffer[]): void {
    this.socket.write(Buffer.concat(messages));
  }

  async readStartup(): Promise<void> {
    this.startup = parseStartupPacket(await this.#take(0));
  }

  /** Body of the next message. */
  async readBody(): Promise<Buffer> {
    return (await this.#take(1)).subarray(5);
  }

  async #take(typeBytes: number): Promise<Buffer> {
    const missing = () =>
      this.#held.length < typeBytes + 4 ||
      this.#held.length < typeBytes + this.#held.readInt32BE(typeBytes);
    while (missing()) await once(this.socket, 'data');
    const bytes = typeBytes + this.#held.readInt32BE(typeBytes);
    const taken = this.#held.subarray(0, bytes);
    this.#held = this.#held.subarray(bytes);
    return taken;
  }
}

let listener: Server;
let port: number;
let peers: Peer[];

beforeEach(async () => {
  peers = [];
  listener = createServer().listen(0, '127.0.0.1');
  await once(listener, 'listening');
  port = (listener.address() as AddressInfo).port;
});

afterEach(async () => {
  for (const { socket } of peers) socket.destroy();
  listener.close();
  await once(listener, 'close');
});

function serve(script: (peer: Peer) => Promise<void> | void): void {
  listener.on('connection', (socket) => {
    const peer = new Peer(socket);
    peers.push(peer);
    void (async () => {
      await peer.readStartup();
      await script(peer);
    })();
  });
}

function dial(options: Partial<ConnectServerOptions> = {}): ReturnType<typeof connectServer> {
  return connectServer({
    host: '127.0.0.1',
    port,
    user: 'app',
    password,
    database: 'shop',
    connectTimeoutMs: ampleTimeoutMs,
    ...options,
  });
}

/** Why the login failed; the server's socket must have been closed, too. */
async function failureOf(options: Partial<ConnectServerOptions> = {}): Promise<Error> {
  const error = await dial(options).then(
    () => new Error('logged in'),
    (reason: Error) => reason,
  );
  for (const { socket } of peers) if (!socket.closed) await once(socket, 'close');
  expect(`${error.message} ${error.stack}`).not.toContain(password);
  return error;
}

const greeting = Buffer.concat([
  backend.authenticationOk,
  backend.parameterStatus('server_version', '18.4'),
  backend.noticeResponse({ severity: 'NOTICE', sqlstate: '00000', message: 'hello' }),
  backend.parameterStatus('TimeZone', 'UTC'),
  backend.backendKeyData(42, Buffer.from('key!')),
  backend.readyForQuery(TxStatus.Idle),
]);

async function scramUpToProof(peer: Peer): Promise<string | null> {
  peer.send(backend.authenticationSasl(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']));
  const initial = await peer.readBody();
  const name = Buffer.from('SCRAM-SHA-256\0');
  expect(initial.subarray(0, name.length)).toEqual(name);
  const exchange = new ScramServer(verifier, false);
  peer.send(backend.authenticationSaslContinue(exchange.first(initial.subarray(name.length + 4))));
  return exchange.final(await peer.readBody());
}

describe('connectServer logs in', () => {
  it('without a password, and hands over what the server told', async () => {
    const rest = backend.parameterStatus('late', 'yes');
    serve((peer) => peer.send(greeting, rest));
    const login = await dial({ password: undefined, params: [['application_name', 'test']] });
    expect(peers[0]!.startup).toEqual({
      kind: 'startup',
      major: 3,
      minor: 0,
      params: new Map([
        ['user', 'app'],
        ['database', 'shop'],
        ['application_name', 'test'],
      ]),
      protocolOptions: [],
    });
    expect({ ...login, socket: null }).toEqual({
      socket: null,
      pid: 42,
      secret: Buffer.from('key!'),
      params: new Map([
        ['server_version', '18.4'],
        ['TimeZone', 'UTC'],
      ]),
      rest,
    });
    expect(login.socket.isPaused()).toBe(true);
    await new Promise(setImmediate);
    for (const event of ['data', 'error', 'close', 'connect']) {
      expect(login.socket.listenerCount(event)).toBe(0);
    }
    login.socket.destroy();
  });

  it('when every byte arrives alone', async () => {
    serve(async (peer) => {
      for (const byte of greeting) {
        peer.send(Buffer.from([byte]));
        await new Promise(setImmediate);
      }
    });
    const login = await dial();
    expect(login.pid).toBe(42);
    login.socket.destroy();
  });

  it('with SCRAM-SHA-256', async () => {
    serve(async (peer) => {
      peer.send(backend.authenticationSaslFinal((await scramUpToProof(peer))!), greeting);
    });
    const login = await dial();
    expect(login.pid).toBe(42);
    login.socket.destroy();
  });

  it('with md5', async () => {
    const salt = Buffer.from([1, 2, 3, 4]);
    let answer = '';
    serve(async (peer) => {
      peer.send(backend.authenticationMd5Password(salt));
      answer = (await peer.readBody()).toString();
      peer.send(greeting);
    });
    (await dial()).socket.destroy();
    expect(answer).toBe(`${md5Password('app', password, salt)}\0`);
  });

  it('with a cleartext password', async () => {
    let answer = '';
    serve(async (peer) => {
      peer.send(backend.authenticationCleartextPassword);
      answer = (await peer.readBody()).toString();
      peer.send(greeting);
    });
    (await dial()).socket.destroy();
    expect(answer).toBe(`${password}\0`);
  });

  it('to a server that gives no cancel key', async () => {
    serve((peer) => peer.send(backend.authenticationOk, backend.readyForQuery(TxStatus.Idle)));
    const login = await dial();
    expect([login.pid, login.secret.length]).toEqual([0, 0]);
    login.socket.destroy();
  });
});

describe('connectServer passes on what the server says', () => {
  it.each([0, 1])('when it refuses after %i authentication messages', async (before) => {
    const frame = backend.errorResponse({
      severity: 'FATAL',
      sqlstate: '3D000',
      message: 'database "shop" does not exist',
      hint: 'kept too',
    });
    serve((peer) => {
      peer.send(...Array(before).fill(backend.authenticationOk), frame);
      peer.socket.end();
    });
    const error = await failureOf();
    expect(error).toBeInstanceOf(ServerLoginError);
    expect(error).toMatchObject({
      sqlstate: '3D000',
      message: 'database "shop" does not exist',
      frame,
    });
  });
});

describe('connectServer gives up', () => {
  const request = (code: number) => {
    const frame = Buffer.from(backend.authenticationOk);
    frame.writeInt32BE(code, 5);
    return frame;
  };

  it.each<[string, ServerConnectError['failure'], (peer: Peer) => Promise<void> | void]>([
    ['an unsupported method', 'authentication', (peer) => peer.send(request(7))],
    ['an unknown method', 'authentication', (peer) => peer.send(request(99))],
    [
      'SASL without a known mechanism',
      'authentication',
      (peer) => peer.send(backend.authenticationSasl(['OAUTHBEARER'])),
    ],
    [
      'Ok before the server has proven itself',
      'authentication',
      async (peer) => {
        await scramUpToProof(peer);
        peer.send(greeting);
      },
    ],
    [
      'a wrong server signature',
      'protocol',
      async (peer) => {
        await scramUpToProof(peer);
        const signature = Buffer.alloc(32).toString('base64');
        peer.send(backend.authenticationSaslFinal(`v=${signature}`), greeting);
      },
    ],
    [
      'a challenge with a nonce of its own',
      'protocol',
      async (peer) => {
        peer.send(backend.authenticationSasl(['SCRAM-SHA-256']));
        await peer.readBody();
        peer.send(backend.authenticationSaslContinue('r=mine,s=AAAA,i=1'));
      },
    ],
    [
      'a challenge that nobody asked for',
      'protocol',
      (peer) => peer.send(backend.authenticationSaslContinue('r=x,s=AAAA,i=1')),
    ],
    [
      'a second request after Ok',
      'protocol',
      (peer) => peer.send(backend.authenticationOk, backend.authenticationCleartextPassword),
    ],
    [
      'ReadyForQuery without Ok',
      'protocol',
      (peer) => peer.send(backend.readyForQuery(TxStatus.Idle)),
    ],
    [
      'a transaction that is open already',
      'protocol',
      (peer) => peer.send(backend.authenticationOk, backend.readyForQuery(TxStatus.Failed)),
    ],
    ['garbage', 'protocol', (peer) => peer.send(Buffer.from('HTTP/1.1 400 Bad Request\r\n'))],
    ['a length of 3', 'protocol', (peer) => peer.send(Buffer.from('R\0\0\0\x03'))],
    ['a message that is too long', 'protocol', (peer) => peer.send(Buffer.from('S\0\x01\0\x01'))],
  ])('on %s', async (_, failure, script) => {
    serve(script);
    const error = await failureOf();
    expect(error).toBeInstanceOf(ServerConnectError);
    expect(error).toMatchObject({ failure });
  });

  it.each([
    ['cleartext', backend.authenticationCleartextPassword],
    ['md5', backend.authenticationMd5Password(Buffer.alloc(4))],
    ['SCRAM', backend.authenticationSasl(['SCRAM-SHA-256'])],
  ])('when the server asks for %s and there is no password', async (_, asked) => {
    serve((peer) => peer.send(asked));
    for (const none of [undefined, '']) {
      expect(await failureOf({ password: none })).toMatchObject({ failure: 'authentication' });
    }
  });

  it('when the server closes after any byte', async () => {
    let sent = 0;
    serve((peer) => {
      peer.socket.end(greeting.subarray(0, sent));
    });
    for (; sent < greeting.length; sent += 7) {
      expect(await failureOf()).toMatchObject({ failure: 'closed' });
    }
  });

  it('when the server resets the connection', async () => {
    serve((peer) => {
      peer.socket.resetAndDestroy();
    });
    expect(await failureOf()).toMatchObject({ failure: 'closed' });
  });

  it('when the server says nothing in time', async () => {
    serve(() => {});
    expect(await failureOf({ connectTimeoutMs: 50 })).toMatchObject({ failure: 'timeout' });
  });

  it('when nothing listens, and says where', async () => {
    listener.close();
    await once(listener, 'close');
    for (const host of ['127.0.0.1', 'localhost']) {
      const error = await failureOf({ host });
      expect(error).toMatchObject({ failure: 'unreachable' });
      expect(error.message).toContain('ECONNREFUSED');
    }
    expect(await failureOf({ host: '/nonexistent' })).toMatchObject({
      failure: 'unreachable',
    });
    listener = createServer().listen(0, '127.0.0.1');
    await once(listener, 'listening');
  });
});
