import pg from 'pg';
import type { Login } from './login.ts';

const connectTimeoutMs = 5_000;

/** True when a client can log in there and gets an answer. */
export async function canLogIn(login: Login): Promise<boolean> {
  const client = new pg.Client({ ...login, connectionTimeoutMillis: connectTimeoutMs });
  // Without a listener a server that goes away would end the program.
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => undefined);
  }
}
