import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Address, AuthMethod, Config, NodeConfig, UserConfig } from '../config.ts';
import { addressText, isLoopback, parseAddress } from './address.ts';
import { ConfigError } from './config-error.ts';
import { deepFreeze } from './deep-freeze.ts';
import {
  authField,
  defaultHttp,
  defaultListen,
  nodeKeys,
  overrideTables,
  sections,
  topLevelKeys,
  userKeys,
} from './fields.ts';
import { readFreshness } from './freshness.ts';
import { type PlacedNode, readNodes } from './nodes.ts';
import { type Surroundings, unreadable } from './secrets.ts';
import { type Entry, Source } from './source.ts';
import { mergeUsers, readUsers } from './users.ts';
import { quoted, readField, readSection } from './values.ts';
import { readWorkers } from './workers.ts';

/**
 * Reads the configuration file.
 * @throws ConfigError with everything that is wrong in it
 */
export function loadConfig(path: string): Config {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new ConfigError(path, [{ line: 1, message: unreadable(error) }]);
  }
  return parseConfig(text, path);
}

/**
 * @param fileName what messages call the text; relative paths in it start from this file's folder
 * @param env where `password_env` looks
 * @throws ConfigError with everything that is wrong in it
 */
export function parseConfig(
  text: string,
  fileName: string,
  env: Surroundings['env'] = process.env,
): Config {
  const source = new Source(text);
  const top = source.broken
    ? null
    : source.entries(source.root, '', topLevelKeys, (key) => homeOf(key, ''));
  if (top === null && source.problems.length === 0) {
    source.report(null, `the file is empty: ${serversAdvice}`);
  }
  const config =
    top === null ? null : readConfig(source, top, { env, folder: dirname(resolve(fileName)) });
  if (config === null || source.problems.length > 0) {
    throw new ConfigError(fileName, source.problems);
  }
  return deepFreeze(config);
}

const serversAdvice =
  'write nodes: with a line "- url: postgres://user:password@host:5432/database" for each, or embedded: for a cluster that Tidemark starts itself';

function readConfig(
  source: Source,
  top: ReadonlyMap<string, Entry>,
  surroundings: Surroundings,
): Config {
  const read = <K extends keyof typeof sections>(name: K) =>
    readSection(source, top.get(name), name, sections[name], (key) => homeOf(key, name));
  const authEntry = top.get('auth');
  const auth =
    authEntry === undefined
      ? authField.default
      : (readField(source, authEntry, 'auth', authField) as AuthMethod);
  const { listen, http } = readAddresses(source, top);
  const placedNodes = readNodes(source, top.get('nodes'), surroundings);
  const fileUsers = readUsers(source, top.get('users'), auth, surroundings);
  const users = mergeUsers(fileUsers, placedNodes, auth, (place, message) =>
    source.report(place, message),
  );
  const isEmbedded = checkServers(source, top, placedNodes);
  const embedded = read('embedded');
  checkAuth(source, top, { auth, listen, users, isEmbedded });
  // Trust lets anybody in, and an embedded cluster has a user of its own.
  const areUsersKnown =
    auth !== 'trust' &&
    !isEmbedded &&
    !source.hasProblemIn('users') &&
    !source.hasProblemIn('nodes');
  const freshness = readFreshness(source, top.get('freshness'), {
    users: areUsersKnown ? users.map(({ name }) => name) : null,
    elsewhere: homeOf,
  });
  const clients = read('clients');
  const pool = read('pool');
  const workers = readWorkers(source, top.get('workers'), { clients, pool, freshness });
  return {
    listen,
    http,
    workers,
    embedded: isEmbedded
      ? { ...embedded, dataDir: resolve(surroundings.folder, embedded.dataDir) }
      : null,
    nodes: placedNodes.map(({ node }): NodeConfig => node),
    auth,
    users,
    clients,
    pool,
    freshness,
    log: read('log'),
  };
}

/** Says where a key belongs that stands in the wrong place, such as `size` at the top. */
function homeOf(key: string, here: string): string | undefined {
  if (here !== '' && (topLevelKeys as readonly string[]).includes(key)) {
    return 'without indentation: it is a key of its own';
  }
  const tables: [string, readonly string[]][] = [
    ...Object.entries(sections).map(([name, fields]): [string, string[]] => [
      name,
      Object.keys(fields),
    ]),
    ['freshness', overrideTables],
    ['nodes', nodeKeys],
    ['users', userKeys],
  ];
  const homes = tables
    .filter(([name, keys]) => name !== here && (keys.includes(key) || keys.includes(`${key}_ms`)))
    .map(([name, keys]) => `under ${name}:${keys.includes(key) ? '' : ` as ${key}_ms`}`);
  return homes.length === 0 ? undefined : homes.join(' or ');
}

function readAddresses(
  source: Source,
  top: ReadonlyMap<string, Entry>,
): { listen: Address; http: Address | null } {
  const listen = readAddress(source, top.get('listen'), 'listen', defaultListen);
  const httpEntry = top.get('http');
  if (httpEntry !== undefined && source.scalar(httpEntry.value) === 'off') {
    return { listen, http: null };
  }
  const http = readAddress(source, httpEntry, 'http', defaultHttp);
  if (listen.port !== 0 && addressText(listen) === addressText(http)) {
    source.report(
      (httpEntry ?? top.get('listen'))?.value ?? null,
      `http: the same address as listen: write another port, or http: off`,
    );
  }
  return { listen, http };
}

function readAddress(
  source: Source,
  entry: Entry | undefined,
  key: 'listen' | 'http',
  byDefault: string,
): Address {
  const fallback = parseAddress(byDefault, 0) as Address;
  if (entry === undefined) {
    return fallback;
  }
  const value = source.scalar(entry.value);
  const place = entry.value ?? entry.key;
  if (key === 'http' && (value === false || value === null)) {
    source.report(place, 'http: write off to turn it off, or an address such as 127.0.0.1:6433');
    return fallback;
  }
  if (typeof value !== 'string' && typeof value !== 'number') {
    source.report(place, `${key}: expected an address: write for example ${byDefault}`);
    return fallback;
  }
  const parsed = parseAddress(String(value), fallback.port);
  if ('problem' in parsed) {
    source.report(place, `${key}: ${quoted(value)}: ${parsed.problem}`);
    return fallback;
  }
  return parsed;
}

/** Exactly one of `embedded` and `nodes` says which servers there are. */
function checkServers(
  source: Source,
  top: ReadonlyMap<string, Entry>,
  nodes: readonly PlacedNode[],
): boolean {
  const embedded = top.get('embedded');
  const listed = top.get('nodes');
  if (embedded !== undefined && listed !== undefined) {
    source.report(
      listed.key,
      'nodes: embedded is given as well: keep embedded (Tidemark starts a cluster itself) or nodes (your servers)',
    );
    return false;
  }
  if (embedded !== undefined) {
    return true;
  }
  if (nodes.length === 0 && !source.hasProblemIn('nodes')) {
    source.report(listed?.key ?? null, `no servers: ${serversAdvice}`);
  }
  return false;
}

function checkAuth(
  source: Source,
  top: ReadonlyMap<string, Entry>,
  given: {
    auth: AuthMethod;
    listen: Address;
    users: readonly UserConfig[];
    isEmbedded: boolean;
  },
): void {
  const { auth, listen, users, isEmbedded } = given;
  const place = top.get('auth')?.value ?? null;
  if (auth === 'trust' && !isLoopback(listen.host)) {
    source.report(
      place,
      `auth: trust lets everybody in who reaches ${addressText(listen)}: write auth: scram-sha-256, or listen: 127.0.0.1:${listen.port}`,
    );
  }
  // An embedded cluster has a user of its own, with a password that it makes up. Users that were
  // left out for a problem of their own, or stand in a node's bad URL, are reported already.
  const isSomebodyKnown =
    isEmbedded || users.length > 0 || source.hasProblemIn('users') || source.hasProblemIn('nodes');
  if (auth === 'scram-sha-256' && !isSomebodyKnown) {
    source.report(
      top.get('users')?.key ?? place,
      'nobody could log in: write users: with a line "- name: app" and below it "password: ...", or auth: trust where listen is a loopback address',
    );
  }
}
