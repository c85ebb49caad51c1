import type { NodeConfig } from '../config.ts';
import { addressText } from './address.ts';
import { nodeKeys } from './fields.ts';
import { parseNodeUrl } from './node-url.ts';
import { readSecret, type Surroundings } from './secrets.ts';
import type { Entry, Place, Source } from './source.ts';
import { quoted } from './values.ts';

/** A node with the place that problems about it point at. */
export interface PlacedNode {
  readonly node: NodeConfig;
  readonly place: Place | null;
}

/** Reads `nodes:`; a node that is not valid is reported and left out. */
export function readNodes(
  source: Source,
  entry: Entry | undefined,
  surroundings: Surroundings,
): PlacedNode[] {
  const placed: PlacedNode[] = [];
  const items = source.items(entry, 'nodes', 'url: postgres://user:password@host:5432/database');
  for (const { node: item, path } of items) {
    const entries = source.entries(item, path, nodeKeys);
    if (entries === null) {
      continue;
    }
    const node = readNode(source, entries, item, path, surroundings);
    if (node !== null) {
      placed.push({ node, place: entries.get('url')?.value ?? item });
    }
  }
  return withoutTwins(placed, (place, message) => source.report(place, message));
}

function readNode(
  source: Source,
  entries: ReadonlyMap<string, Entry>,
  item: Place,
  path: string,
  surroundings: Surroundings,
): NodeConfig | null {
  const name = readName(source, entries.get('name'), path);
  const password = readSecret(source, entries, path, 'password', surroundings);
  const urlEntry = entries.get('url');
  const url = urlEntry === undefined ? null : source.scalar(urlEntry.value);
  if (typeof url !== 'string' || url === '') {
    const place = urlEntry === undefined ? item : (urlEntry.value ?? urlEntry.key);
    source.report(place, `${path}: no url: write url: postgres://user:password@host:5432/database`);
    return null;
  }
  const parsed = parseNodeUrl(url);
  if ('problems' in parsed) {
    for (const problem of parsed.problems) {
      source.report(urlEntry?.value ?? item, `${path}.url: ${problem}`);
    }
    return null;
  }
  if (password !== undefined && parsed.password !== '') {
    source.report(
      urlEntry?.value ?? item,
      `${path}.url: a password is given in the URL and beside it: keep one of them`,
    );
  }
  return { ...parsed, name: name ?? parsed.name, password: password ?? parsed.password };
}

function readName(source: Source, entry: Entry | undefined, path: string): string | undefined {
  if (entry === undefined) {
    return undefined;
  }
  const name = source.scalar(entry.value);
  if (typeof name === 'string' && /^[\w.:[\]-]{1,63}$/.test(name)) {
    return name;
  }
  source.report(
    entry.value ?? entry.key,
    `${path}.name: ${quoted(name)} is not a name: write 1 to 63 letters, digits, - _ . or :`,
  );
  return undefined;
}

/** Drops and reports nodes that repeat the address or the name of an earlier one. */
export function withoutTwins<P>(
  placed: readonly { readonly node: NodeConfig; readonly place: P }[],
  report: (place: P, message: string) => void,
): { readonly node: NodeConfig; readonly place: P }[] {
  const kept: { readonly node: NodeConfig; readonly place: P }[] = [];
  for (const next of placed) {
    const address = addressText(next.node);
    if (kept.some(({ node }) => addressText(node) === address)) {
      report(next.place, `the node ${address} is listed twice: list each server once`);
    } else if (kept.some(({ node }) => node.name === next.node.name)) {
      report(
        next.place,
        `two nodes are named ${next.node.name}: write a different name: for each of them`,
      );
    } else {
      kept.push(next);
    }
  }
  return kept;
}
