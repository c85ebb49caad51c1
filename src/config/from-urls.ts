import type { Address, AuthMethod, Config, NodeConfig } from '../config.ts';
import { addressText, isLoopback, parseAddress } from './address.ts';
import { ArgumentsError, type UrlArguments } from './arguments.ts';
import { deepFreeze } from './deep-freeze.ts';
import { authField, defaultHttp, defaultListen, sections } from './fields.ts';
import { parseNodeUrl } from './node-url.ts';
import { withoutTwins } from './nodes.ts';
import { mergeUsers } from './users.ts';
import { quoted, sectionDefaults } from './values.ts';
import { parseWorkers } from './workers.ts';

/**
 * The configuration of a start without a file: everything at its default but the servers.
 * The first node is the one given as --primary.
 * @throws ArgumentsError
 */
export function configFromUrls(given: UrlArguments): Config {
  const problems: string[] = [];
  const placed = readUrls(given, problems);
  const nodes = withoutTwins(placed, (place, message) => problems.push(`${place}: ${message}`));
  const auth = readAuth(given.auth, problems);
  const listen = readAddress('--listen', given.listen ?? defaultListen, defaultListen, problems);
  const http =
    given.http === 'off'
      ? null
      : readAddress('--http', given.http ?? defaultHttp, defaultHttp, problems);
  const clients = sectionDefaults(sections.clients);
  const pool = sectionDefaults(sections.pool);
  const freshness = sectionDefaults(sections.freshness);
  const workers = parseWorkers(given.workers, { clients, pool, freshness }, problems);
  const users = mergeUsers([], nodes, auth, (place, message) =>
    problems.push(`${place}: ${message}`),
  );
  if (http !== null && listen.port !== 0 && addressText(listen) === addressText(http)) {
    problems.push('--http: the same address as --listen: write another port, or --http off');
  }
  if (auth === 'trust' && !isLoopback(listen.host)) {
    problems.push(
      `--auth trust lets everybody in who reaches ${addressText(listen)}: leave it out, or write --listen 127.0.0.1:${listen.port}`,
    );
  }
  if (auth !== 'trust' && users.length === 0 && problems.length === 0) {
    problems.push(
      'nobody could log in: write a password in the URLs (postgres://user:password@host:5432/database), or --auth trust',
    );
  }
  if (problems.length > 0) {
    throw new ArgumentsError(problems);
  }
  return deepFreeze({
    listen,
    http,
    workers,
    embedded: null,
    nodes: nodes.map(({ node }) => node),
    auth,
    users,
    clients,
    pool,
    freshness: { ...freshness, databases: {}, users: {} },
    log: sectionDefaults(sections.log),
  });
}

function readUrls(given: UrlArguments, problems: string[]): { node: NodeConfig; place: string }[] {
  const placed: { node: NodeConfig; place: string }[] = [];
  const all = [given.primary, ...given.replicas];
  for (const [index, url] of all.entries()) {
    const place = index === 0 ? '--primary' : `--replica (number ${index})`;
    const parsed = parseNodeUrl(url);
    if ('problems' in parsed) {
      problems.push(...parsed.problems.map((problem) => `${place}: ${problem}`));
    } else {
      placed.push({ node: parsed, place });
    }
  }
  return placed;
}

function readAuth(text: string | undefined, problems: string[]): AuthMethod {
  const known = authField.values.find((value) => value === (text ?? authField.default));
  if (known === undefined) {
    problems.push(`--auth: ${quoted(text)} is not one of ${authField.values.join(', ')}`);
  }
  return known ?? authField.default;
}

function readAddress(option: string, text: string, byDefault: string, problems: string[]): Address {
  const fallback = parseAddress(byDefault, 0) as Address;
  const parsed = parseAddress(text, fallback.port);
  if ('problem' in parsed) {
    problems.push(`${option}: ${quoted(text)}: ${parsed.problem}`);
    return fallback;
  }
  return parsed;
}
