import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Registry } from 'prom-client';
import type { Address } from '../config.ts';
import type { AdminAnswers } from './admin-answers.ts';

/** A scraper and a few probes need a handful; more are closed as they come. */
const connectionsMax = 64;
const headerBytesMax = 8 * 1024;
const headersMax = 64;
/** For the whole request to arrive, headers (headersTimeout) included. */
const requestTimeoutMs = 5_000;
/** A client that does not take its answer for this long is cut off. */
const silenceMsMax = 5_000;
const timeoutCheckIntervalMs = 1_000;

export interface HttpServer {
  /** With the port that the system gave, where port 0 was asked for. */
  readonly address: Address;
  /** From now on /readyz answers 503, so that load balancers look elsewhere. */
  drain(): void;
  /** Ends every connection, whatever it is about. Resolves when the port is free again. */
  close(): Promise<void>;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

type Page = () => Answer | Promise<Answer>;

/**
 * Serves /metrics, /healthz and /readyz, one request per connection: who asks every few seconds
 * gains nothing from keeping it open. Rejects when the address cannot be listened on.
 */
export async function startHttpServer(
  { host, port }: Address,
  answers: AdminAnswers,
): Promise<HttpServer> {
  let isDraining = false;
  const pages = new Map<string, Page>([
    ['/metrics', () => metricsPage(answers)],
    ['/healthz', () => jsonAnswer(200, { status: 'ok', version: answers.version })],
    [
      '/readyz',
      async () => {
        const state = await answers.readiness(isDraining);
        return jsonAnswer(state.ready ? 200 : 503, state);
      },
    ],
  ]);
  const server = createLimitedServer((request, response) => {
    void respond(pages, request, response);
  });
  server.listen({ host, port });
  await once(server, 'listening');
  // A connection that could not be accepted is nobody's: the next one may be.
  server.on('error', () => {});
  let closed: Promise<void> | null = null;
  return {
    address: { host, port: (server.address() as AddressInfo).port },
    drain() {
      isDraining = true;
    },
    close() {
      closed ??= closeServer(server);
      return closed;
    },
  };
}

function createLimitedServer(
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Server {
  const server = createServer(
    {
      maxHeaderSize: headerBytesMax,
      requestTimeout: requestTimeoutMs,
      connectionsCheckingInterval: timeoutCheckIntervalMs,
    },
    handle,
  );
  server.maxConnections = connectionsMax;
  server.maxHeadersCount = headersMax;
  // A scrape takes milliseconds of the event loop: nobody gets a thousand for one packet.
  server.maxRequestsPerSocket = 1;
  server.timeout = silenceMsMax;
  return server;
}

function closeServer(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}

async function respond(
  pages: ReadonlyMap<string, Page>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { status, contentType, body } = await answer(pages, request, response);
  response.writeHead(status, {
    connection: 'close',
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
  });
  // For HEAD the body is left out by node:http.
  response.end(body);
}

async function answer(
  pages: ReadonlyMap<string, Page>,
  { url = '', method }: IncomingMessage,
  response: ServerResponse,
): Promise<Answer> {
  const page = pages.get(url.split('?', 1)[0]!);
  if (page === undefined) {
    return textAnswer(404, `not found; there are ${[...pages.keys()].join(', ')}`);
  }
  if (method !== 'GET' && method !== 'HEAD') {
    response.setHeader('allow', 'GET, HEAD');
    return textAnswer(405, 'only GET and HEAD');
  }
  try {
    return await page();
  } catch (error) {
    return textAnswer(500, error instanceof Error ? error.message : String(error));
  }
}

async function metricsPage(answers: AdminAnswers): Promise<Answer> {
  const contentType = Registry.PROMETHEUS_CONTENT_TYPE;
  return { status: 200, contentType, body: await answers.metrics() };
}

function jsonAnswer(status: number, value: unknown): Answer {
  const body = `${JSON.stringify(value, null, 2)}\n`;
  return { status, contentType: 'application/json; charset=utf-8', body };
}

function textAnswer(status: number, line: string): Answer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${line}\n` };
}
