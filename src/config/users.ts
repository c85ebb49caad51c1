import type { AuthMethod, NodeConfig, UserConfig } from '../config.ts';
import { userKeys } from './fields.ts';
import { readSecret, type Surroundings } from './secrets.ts';
import type { Entry, Place, Source } from './source.ts';

const verifierPrefix = 'SCRAM-SHA-256$';
/** `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`, as in pg_authid.rolpassword. */
const verifierPattern =
  /^SCRAM-SHA-256\$\d+:[A-Za-z0-9+/=]+\$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=$/;
const md5Pattern = /^md5[0-9a-f]{32}$/;

/** True for a stored SCRAM verifier, false for a plain password. */
export function isVerifier(secret: string): boolean {
  return secret.startsWith(verifierPrefix);
}

/** A user of the file; its server password is undefined where it follows from elsewhere. */
export interface FileUser {
  readonly name: string;
  readonly secret: string;
  readonly serverPassword: string | undefined;
  readonly place: Place;
}

/** Reads `users:`; a user that is not valid is reported and left out. */
export function readUsers(
  source: Source,
  entry: Entry | undefined,
  auth: AuthMethod,
  surroundings: Surroundings,
): FileUser[] {
  const users: FileUser[] = [];
  for (const { node: item, path } of source.items(entry, 'users', 'name: app')) {
    const entries = source.entries(item, path, userKeys);
    if (entries === null) {
      continue;
    }
    const secret = readSecret(source, entries, path, 'password', surroundings);
    const serverPassword = readSecret(source, entries, path, 'server_password', surroundings);
    const nameEntry = entries.get('name');
    const name = nameEntry === undefined ? null : source.scalar(nameEntry.value);
    if (typeof name !== 'string' || name === '') {
      source.report(nameEntry?.value ?? item, `${path}: no name: write name: app (as text)`);
      continue;
    }
    const place = nameEntry?.value ?? item;
    if (users.some((user) => user.name === name)) {
      source.report(place, `the user ${name} is listed twice: keep one of the entries`);
      continue;
    }
    if (secret === undefined && auth !== 'trust' && !source.hasProblemIn(path)) {
      source.report(
        place,
        `${path}: no password: write password:, password_env: or password_file:`,
      );
    }
    reportBadSecret(source, entries, path, secret, serverPassword);
    users.push({ name, secret: secret ?? '', serverPassword, place });
  }
  return users;
}

function reportBadSecret(
  source: Source,
  entries: ReadonlyMap<string, Entry>,
  path: string,
  secret: string | undefined,
  serverPassword: string | undefined,
): void {
  const placeOf = (key: string) =>
    [key, `${key}_env`, `${key}_file`].map((name) => entries.get(name)?.value).find(Boolean) ??
    null;
  if (secret !== undefined && isVerifier(secret) && !verifierPattern.test(secret)) {
    source.report(
      placeOf('password'),
      `${path}.password: a damaged SCRAM-SHA-256 verifier: copy it whole from pg_authid.rolpassword`,
    );
  }
  if (secret !== undefined && md5Pattern.test(secret)) {
    source.report(
      placeOf('password'),
      `${path}.password: an md5 hash cannot prove a SCRAM login: write the password or a SCRAM-SHA-256 verifier`,
    );
  }
  if (
    serverPassword !== undefined &&
    (isVerifier(serverPassword) || md5Pattern.test(serverPassword))
  ) {
    source.report(
      placeOf('server_password'),
      `${path}.server_password: nobody can log in with a stored hash: write the password itself`,
    );
  }
}

/**
 * Who may log in: the users of the file and those of the nodes' URLs.
 * A URL user without a password is nobody whom SCRAM could check, and is left out there.
 */
export function mergeUsers<P>(
  fileUsers: readonly FileUser[],
  nodes: readonly { readonly node: NodeConfig; readonly place: P }[],
  auth: AuthMethod,
  report: (place: P, message: string) => void,
): UserConfig[] {
  const fromUrls = new Map<string, NodeConfig>();
  const clashes = (place: P, user: string, other: string) =>
    report(place, `the password of ${user} differs from ${other}: write the same one in both`);
  for (const { node, place } of nodes) {
    const earlier = fromUrls.get(node.user);
    if (earlier === undefined || earlier.password === '') {
      fromUrls.set(node.user, node);
    } else if (node.password !== '' && earlier.password !== node.password) {
      clashes(place, node.user, `the one for node ${earlier.name}`);
    }
  }
  const users: UserConfig[] = fileUsers.map((user) => {
    const ofUrl = fromUrls.get(user.name)?.password ?? '';
    const plain = isVerifier(user.secret) ? '' : user.secret;
    const serverPassword = user.serverPassword ?? (plain === '' ? ofUrl : plain);
    return { name: user.name, secret: user.secret, serverPassword };
  });
  for (const { node, place } of nodes) {
    const user = users.find(({ name }) => name === node.user);
    if (user !== undefined && node.password !== '' && node.password !== user.serverPassword) {
      clashes(place, node.user, 'the one under users (its server_password, or password)');
    }
  }
  for (const { user: name, password } of fromUrls.values()) {
    if (!users.some((user) => user.name === name) && (password !== '' || auth === 'trust')) {
      users.push({ name, secret: password, serverPassword: password });
    }
  }
  return users;
}
