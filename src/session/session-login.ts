import { ProxyError } from '../errors.ts';
import { noRequirement } from '../lag/read-requirement.ts';
import { giveBack } from '../pool/give-back.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import { ServerLoginError } from '../pool/server-handshake.ts';
import type { Settings } from '../pool/settings.ts';
import { errorField } from '../protocol/fields.ts';
import { query } from '../protocol/frontend.ts';
import type { Route } from '../router/route.ts';
import { noWait, type Placed, Placement } from './placement.ts';
import type { SessionContext } from './session-context.ts';

/** Who logs in, and with which settings from the startup packet. */
export interface NewSession {
  readonly user: string;
  readonly database: string;
  readonly base: Settings;
}

const anyReplica: Route = { target: 'replica', reason: 'session', fresh: false };
const primary: Route = { target: 'primary', reason: 'login' };

/** What a standby reports of itself; a client of the proxy is told what the primary would say. */
const toldAsPrimary: readonly (readonly [string, string])[] = [['in_hot_standby', 'off']];

/**
 * What a server reports to a session of this user, database and startup settings. A real server is
 * asked, and so refuses what PostgreSQL would refuse: unknown databases, invalid settings.
 * Rejects with ProxyError or ServerLoginError.
 */
export async function reportedAtLogin(
  session: NewSession,
  context: SessionContext,
): Promise<ReadonlyMap<string, string>> {
  const { user, database, base } = session;
  const known = context.templates.get(user, database, base.key);
  // Without any connection nobody can say that the database still exists.
  if (known !== null && context.cluster.isConnected(database, user)) return known;
  const placed = await placeLogin(session, context);
  const { server } = placed;
  try {
    await bringSettings(server, base);
    const reported = new Map([...server.params, ...toldAsPrimary]);
    context.templates.set(user, database, base.key, reported);
    return reported;
  } finally {
    if (server.isReleasable) giveBack(placed.pool, server);
  }
}

/** On the primary; without one, a replica knows the settings just as well. */
function placeLogin({ user, database }: NewSession, context: SessionContext): Promise<Placed> {
  return new Promise((resolve, reject) => {
    const placement = new Placement({
      cluster: context.cluster,
      monitor: context.monitor,
      gate: context.gate,
      login: { user, database, password: context.serverPassword(user) },
      fallbacks: context.fallbacks,
      isLogin: true,
      primaryWaitTimeoutMs: context.config.freshness.primaryWaitTimeoutMs,
      placed: (placed) => {
        placement.close();
        resolve(placed);
      },
      failed: (failure) => {
        placement.close();
        reject(failure);
      },
      gaveUp: () => {},
    });
    const hasPrimary = context.monitor.primary() !== -1;
    placement.place(hasPrimary ? primary : anyReplica, noRequirement, noWait);
  });
}

function bringSettings(server: ServerConnection, base: Settings): Promise<void> {
  const sql = base.differenceFrom(server.settings);
  if (sql === '') return Promise.resolve();
  return new Promise((resolve, reject) => {
    server.runOwn(query(sql), ({ error }) => {
      server.settings = error === null && server.closedFor === null ? base : null;
      if (error !== null) reject(asLoginError(error));
      else if (server.closedFor !== null) reject(new ProxyError('connectFailed', 'it closed'));
      else resolve();
    });
  });
}

function asLoginError(frame: Buffer): ServerLoginError {
  const field = (code: string) => errorField(frame, 0, frame.length, code);
  return new ServerLoginError(field('C') ?? 'XX000', field('M') ?? '', frame);
}
