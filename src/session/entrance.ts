import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import type { Address } from '../config.ts';
import type { Logger } from '../log.ts';

/** First probe of an idle client, so that a vanished one is noticed. */
const keepAliveDelayMs = 30_000;

export interface EntranceOptions {
  /** Nothing has been read from it. */
  readonly accept: (socket: Socket) => void;
  readonly log: Logger;
}

/** Where clients come in. */
export interface Entrance {
  readonly address: Address;
  /** Takes no more clients; those that are there stay. */
  close(): void;
}

/** Rejects when the address cannot be listened on. */
export async function openEntrance(
  { host, port }: Address,
  { accept, log }: EntranceOptions,
): Promise<Entrance> {
  const server = createServer(
    {
      noDelay: true,
      keepAlive: true,
      keepAliveInitialDelay: keepAliveDelayMs,
      pauseOnConnect: true,
    },
    accept,
  );
  server.listen({ host, port });
  await once(server, 'listening');
  // Such as too many open files: this client is lost, the others are not.
  server.on('error', (error) => log.error({ err: error }, 'accept failed'));
  return {
    address: { host, port: (server.address() as AddressInfo).port },
    close: () => server.close(),
  };
}
