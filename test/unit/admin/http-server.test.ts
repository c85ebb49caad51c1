import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { EventEmitter, once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { answersFrom } from '../../../src/admin/admin-answers.ts';
import { type HttpServer, startHttpServer } from '../../../src/admin/http-server.ts';
import type { PoolConfig } from '../../../src/config.ts';
import { Gate } from '../../../src/lag/gate.ts';
import { Monitor } from '../../../src/lag/monitor.ts';
import { Cluster } from '../../../src/pool/cluster.ts';
import { ScriptedServer } from '../lag/scripted-server.ts';
import { type AdminHarness, adminHarness, nodeConfigs, PASSWORD } from './admin-harness.ts';
import { parseExposition } from './exposition.ts';

const anyPort = { host: '127.0.0.1', port: 0 };

let servers: ScriptedServer[];
let monitor: Monitor;
let gate: Gate;
let admin: AdminHarness;
let http: HttpServer;
let origin: string;
const sockets: Socket[] = [];

/** Emits what node:http tells of every request that a server begins to serve. */
const requestStarts = new EventEmitter();
const startChannel = 'http.server.request.start';
const tellStart = (message: unknown) => requestStarts.emit('message', message);
beforeAll(() => subscribe(startChannel, tellStart));
afterAll(() => {
  unsubscribe(startChannel, tellStart);
});

beforeEach(async () => {
  servers = [new ScriptedServer('primary', 1000), new ScriptedServer('replica', 1000)];
  monitor = new Monitor({
    probes: servers,
    sampleIntervalMs: 20,
    probeTimeoutMs: 60_000,
    maxStalenessMs: 60_000,
    onEvent: () => {},
  });
  gate = new Gate(monitor);
  await monitor.start();
  admin = adminHarness({ monitor, gate });
  http = await startHttpServer(anyPort, answersFrom(admin.sources));
  origin = `http://127.0.0.1:${http.address.port}`;
});

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await http.close();
  gate.close();
  await monitor.stop();
});

async function rawConnection(): Promise<Socket> {
  const socket = connect(http.address.port, '127.0.0.1');
  sockets.push(socket);
  // A reset is one of the ways in which a server may end a connection.
  socket.on('error', () => {});
  await once(socket, 'connect');
  return socket;
}

/** Everything the server sent before it ended the connection. */
async function untilClosed(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text += chunk.toString('latin1');
  });
  if (!socket.closed) await once(socket, 'close');
  return text;
}

describe('pages', () => {
  it('/metrics has the metrics of the proxy and of its process', async () => {
    admin.routes.count(1, 'read');
    const response = await fetch(`${origin}/metrics`);
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
    const { values } = parseExposition(await response.text());
    expect(values.get('tidemark_requests_total{node="b",role="replica",reason="read"}')).toBe(1);
    expect(values.get('process_cpu_seconds_total')).toBeGreaterThan(0);
    expect(values.get('nodejs_heap_size_used_bytes')).toBeGreaterThan(0);
  });

  it('/healthz answers while the process serves, whatever the nodes do', async () => {
    for (const server of servers) {
      server.manners = 'refusing';
      server.breakConnections();
    }
    const response = await fetch(`${origin}/healthz`);
    expect(response.status).toBe(200);
    expect(response.headers.get('cache-control')).toBe('no-store');
    expect(await response.json()).toEqual({ status: 'ok', version: '1.2.3' });
  });

  it('/readyz answers 200 while it can serve, 503 while it cannot', async () => {
    const ready = await fetch(`${origin}/readyz?verbose`);
    expect(ready.status).toBe(200);
    expect(ready.headers.get('content-type')).toBe('application/json; charset=utf-8');
    expect(await ready.json()).toMatchObject({ ready: true, serves: 'reads-and-writes' });
    for (const server of servers) {
      server.manners = 'refusing';
      server.breakConnections();
    }
    const unready = await fetch(`${origin}/readyz`);
    expect(unready.status).toBe(503);
    expect(await unready.json()).toMatchObject({
      ready: false,
      nodes: [
        { name: 'a', problem: 'down' },
        { name: 'b', problem: 'down' },
      ],
    });
  });

  it('/readyz answers 503 from drain() on, while /healthz and /metrics go on', async () => {
    http.drain();
    const response = await fetch(`${origin}/readyz`);
    expect(response.status).toBe(503);
    expect(await response.json()).toMatchObject({ ready: false, reasons: ['draining'] });
    expect((await fetch(`${origin}/healthz`)).status).toBe(200);
    expect((await fetch(`${origin}/metrics`)).status).toBe(200);
  });

  it('show pools of a real cluster, and never a password', async () => {
    const silent = createServer((socket) => sockets.push(socket)).listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const { port } = silent.address() as AddressInfo;
    const config: PoolConfig = {
      size: 1,
      waitTimeoutMs: 60_000,
      connectTimeoutMs: 60_000,
      idleTimeoutMs: 60_000,
      lifetimeMs: 60_000,
      checkAfterIdleMs: 60_000,
      statementsMax: 10,
      sharing: true,
    };
    const cluster = new Cluster(
      nodeConfigs(2).map((node) => ({ ...node, port })),
      config,
      monitor.now,
    );
    const pool = cluster.pool(1, { user: 'alice', password: PASSWORD, database: 'app' });
    for (let i = 0; i < 2; i++)
      pool.acquire(
        () => {},
        () => {},
      );
    await http.close();
    http = await startHttpServer(anyPort, answersFrom({ ...admin.sources, cluster }));
    const texts: string[] = [];
    for (const page of ['metrics', 'readyz', 'healthz', 'nothing']) {
      const response = await fetch(`http://127.0.0.1:${http.address.port}/${page}`);
      texts.push(await response.text());
    }
    const { values } = parseExposition(texts[0]!);
    const labels = 'node="b",database="app",user="alice"';
    expect(values.get(`tidemark_server_connections{${labels},state="connecting"}`)).toBe(1);
    expect(values.get(`tidemark_server_connections{${labels},state="idle"}`)).toBe(0);
    expect(values.get(`tidemark_pool_waiting{${labels}}`)).toBe(2);
    expect(values.get(`tidemark_pool_wait_seconds_max{${labels}}`)).toBeGreaterThan(0);
    expect(texts.join('\n')).not.toContain(PASSWORD);
    cluster.destroy();
    silent.close();
  });

  it('/metrics answers 500 when it cannot be read, and nothing else suffers', async () => {
    await http.close();
    const sessions = () => {
      throw new Error('no sessions today');
    };
    http = await startHttpServer(anyPort, answersFrom({ ...admin.sources, sessions }));
    const base = `http://127.0.0.1:${http.address.port}`;
    const response = await fetch(`${base}/metrics`);
    expect(response.status).toBe(500);
    expect(await response.text()).toBe('no sessions today\n');
    expect((await fetch(`${base}/healthz`)).status).toBe(200);
  });
});

describe('methods and paths', () => {
  it.each(['/metrics', '/healthz', '/readyz'])('HEAD %s has no body', async (path) => {
    const response = await fetch(origin + path, { method: 'HEAD' });
    expect(response.status).toBe(200);
    expect(Number(response.headers.get('content-length'))).toBeGreaterThan(0);
    expect(await response.text()).toBe('');
  });

  it('every answer ends its connection', async () => {
    const socket = await rawConnection();
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\n\r\n');
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 200 .*connection: close/is);
  });

  it.each(['POST', 'PUT', 'DELETE', 'OPTIONS', 'PATCH'])('%s is refused', async (method) => {
    const response = await fetch(`${origin}/metrics`, { method });
    expect(response.status).toBe(405);
    expect(response.headers.get('allow')).toBe('GET, HEAD');
    await response.text();
  });

  it.each(['/', '/metrics/', '/Metrics', '/readyz/../metrics/x', '//healthz', '/%00'])(
    '%s is not found',
    async (path) => {
      const response = await fetch(origin + path);
      expect(response.status).toBe(404);
      expect(await response.text()).toBe('not found; there are /metrics, /healthz, /readyz\n');
    },
  );
});

describe('clients that do harm', () => {
  it('a body is not waited for', async () => {
    const socket = await rawConnection();
    socket.write('GET /healthz HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000000\r\n\r\nabc');
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 200 .*connection: close/is);
  });

  it('headers beyond 8 KiB are refused', async () => {
    const socket = await rawConnection();
    socket.write(`GET /healthz HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(9000)}\r\n\r\n`);
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 431 /);
  });

  it('what is not HTTP is refused', async () => {
    const socket = await rawConnection();
    socket.write(Buffer.from([0, 0, 0, 8, 4, 210, 22, 47]));
    expect(await untilClosed(socket)).toMatch(/^HTTP\/1\.1 400 /);
  });

  it('of many requests on one connection only the first is answered', async () => {
    await http.close();
    let looks = 0;
    const sessions = () => {
      looks++;
      return [];
    };
    http = await startHttpServer(anyPort, answersFrom({ ...admin.sources, sessions }));
    const request = 'GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n';
    const single = await rawConnection();
    single.write(request);
    await untilClosed(single);
    const ofOne = looks;
    expect(ofOne).toBeGreaterThan(0);
    const socket = await rawConnection();
    socket.write(request.repeat(1000));
    await untilClosed(socket);
    expect(looks).toBe(2 * ofOne);
  });

  it('the 65th connection is closed, and its place is free when another one ends', async () => {
    const held: Socket[] = [];
    for (let i = 0; i < 64; i++) held.push(await rawConnection());
    expect(await untilClosed(await rawConnection())).toBe('');
    held[0]!.destroy();
    await vi.waitFor(async () => {
      expect((await fetch(`${origin}/healthz`)).status).toBe(200);
    });
  });

  it('who says nothing, says it too slowly or does not listen is cut off', {
    timeout: 60_000,
  }, async () => {
    const stat = { active: 0, idle: 0, connecting: 0, waiting: 0, waitMsMax: 0 };
    // More than the buffers of both sockets take.
    const user = 'u'.repeat(10_000_000);
    admin.pools.push({ node: 0, database: 'app', user, stat });
    const silent = await rawConnection();
    const slow = await rawConnection();
    slow.write('GET /healthz HTTP/1.1\r\nHost');
    // Drips, so that silence is not what ends it.
    const drip = setInterval(() => slow.write('t'), 500);
    const deaf = await rawConnection();
    deaf.pause();
    const served = once(requestStarts, 'message') as Promise<[{ socket: Socket }]>;
    deaf.write('GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n');
    const [{ socket: serverSide }] = await served;
    const texts = [silent, slow].map((socket) => untilClosed(socket));
    await once(serverSide, 'close');
    // Either clock may be first, and an answer is lost when a drip meets the closed connection.
    for (const text of await Promise.all(texts)) expect(text).toMatch(/^(HTTP\/1\.1 408 |$)/);
    clearInterval(drip);
  });
});

describe('close()', () => {
  it('ends connections that are silent or in the middle of a request', async () => {
    const silent = await rawConnection();
    const halfway = await rawConnection();
    halfway.write('GET /healthz HTTP/1.1\r\n');
    // Served behind both, so that they were accepted before.
    await (await fetch(`${origin}/healthz`)).text();
    const ends = [silent, halfway].map((socket) => untilClosed(socket));
    await http.close();
    await Promise.all(ends);
  });

  it('frees the port, and may be called again', async () => {
    await Promise.all([http.close(), http.close()]);
    http = await startHttpServer(http.address, answersFrom(admin.sources));
    expect((await fetch(`${origin}/healthz`)).status).toBe(200);
  });
});

it('does not start on an address that is taken', async () => {
  await expect(startHttpServer(http.address, answersFrom(admin.sources))).rejects.toMatchObject({
    code: 'EADDRINUSE',
    syscall: 'listen',
  });
});
