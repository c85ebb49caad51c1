import { fileURLToPath } from 'node:url';
import { findPort } from '../../src/embedded/ports.ts';
import type { TestNode } from '../../test/support/cluster.ts';
import { canLogIn } from './can-log-in.ts';
import type { Login } from './login.ts';
import { TiedProcess } from './tied-process.ts';

const startLimitMs = 30_000;

export interface RunningForwarder {
  readonly login: Login;
  readonly pid: number;
  stop(): Promise<void>;
}

/** Starts a process of Node.js that passes bytes on to the primary, and does nothing else. */
export async function startForwarder(
  { host, port: serverPort, user, password, database }: TestNode,
  logFile: string,
): Promise<RunningForwarder> {
  const port = await findPort(new Set());
  const child = new TiedProcess({
    name: 'The forwarder',
    file: process.execPath,
    args: [
      ...['--import', import.meta.resolve('tsx')],
      fileURLToPath(new URL('forwarder-process.ts', import.meta.url)),
      ...[String(port), host, String(serverPort)],
    ],
    logFile,
  });
  const login = { host: '127.0.0.1', port, user, password, database };
  try {
    await child.until('ready', startLimitMs, () => canLogIn(login));
  } catch (error) {
    await child.stop();
    throw error;
  }
  return { login, pid: await child.pid, stop: () => child.stop() };
}
