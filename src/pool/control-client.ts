import { Socket } from 'node:net';
import pg from 'pg';
import type { NodeConfig } from '../config.ts';

export interface ControlClient {
  readonly client: pg.Client;
  /** Cuts the connection: pg has no public way to do that without a farewell. */
  cut(error?: Error): void;
}

/** A connection of the monitor's own to a node, not yet connected. */
export function controlClient(config: NodeConfig, more: pg.ClientConfig): ControlClient {
  const socket = new Socket();
  const client = new pg.Client({
    host: config.host,
    port: config.port,
    user: config.user,
    password: () => config.password,
    database: config.database,
    application_name: 'tidemark monitor',
    ssl: false,
    stream: () => socket,
    ...more,
  });
  return { client, cut: (error) => socket.destroy(error) };
}
