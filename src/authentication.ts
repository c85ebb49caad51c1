import { randomBytes } from 'node:crypto';
import type { Config } from './config.ts';
import { deriveScramVerifier, parseScramVerifier, type ScramVerifier } from './protocol/scram.ts';
import type { ClientAuthentication } from './session/client-auth.ts';

const mockSecretBytes = 32;

/** How clients log in: verifiers are derived once, so that a login costs the same for every user. */
export async function authenticationFor(config: Config): Promise<ClientAuthentication> {
  if (config.auth === 'trust') return { method: 'trust' };
  const verifiers = new Map<string, ScramVerifier>();
  for (const { name, secret } of config.users) {
    verifiers.set(name, parseScramVerifier(secret) ?? (await deriveScramVerifier(secret)));
  }
  return {
    method: 'scram-sha-256',
    verifierOf: (user) => verifiers.get(user) ?? null,
    mockSecret: randomBytes(mockSecretBytes),
  };
}
