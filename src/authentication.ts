import { randomBytes } from 'node:crypto';
import type { Config } from './config.ts';
import { deriveScramVerifier, parseScramVerifier, type ScramVerifier } from './protocol/scram.ts';
import type { ClientAuthentication } from './session/client-auth.ts';

const mockSecretBytes = 32;

/**
 * What logins are held against. All workers have the same: salts that differed from one to the next
 * would tell who is a user and who is not.
 */
export type Credentials =
  | { readonly method: 'trust' }
  | {
      readonly method: 'scram-sha-256';
      /** By user name. */
      readonly verifiers: ReadonlyMap<string, ScramVerifier>;
      readonly mockSecret: Buffer;
    };

/** Verifiers are derived once, so that a login costs the same for every user. */
export async function deriveCredentials(config: Config): Promise<Credentials> {
  if (config.auth === 'trust') return { method: 'trust' };
  const verifiers = new Map<string, ScramVerifier>();
  for (const { name, secret } of config.users) {
    verifiers.set(name, parseScramVerifier(secret) ?? (await deriveScramVerifier(secret)));
  }
  return { method: 'scram-sha-256', verifiers, mockSecret: randomBytes(mockSecretBytes) };
}

/** How clients log in. */
export function authenticationBy(credentials: Credentials): ClientAuthentication {
  if (credentials.method === 'trust') return credentials;
  const { method, verifiers, mockSecret } = credentials;
  return { method, verifierOf: (user) => verifiers.get(user) ?? null, mockSecret };
}
