import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { EmbeddedError } from './embedded-error.ts';

interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Below are the ports of well-known services. */
const lowestPort = 15_000;
const highestPort = 65_535;
/** Where the system does not tell: the lower of Linux' (32768) and IANA's (49152) default. */
const defaultEphemeral: PortRange = { first: 32_768, last: 65_535 };
/** Fewer ports than this are no range to choose from. */
const rangeMin = 500;
const attemptsMax = 200;

/**
 * The range for servers' ports: outside the ephemeral range, because a replica's outgoing
 * connection can sit on the very port that the next server wants.
 */
export function serverPortRange(ephemeral: PortRange): PortRange {
  const below = { first: lowestPort, last: ephemeral.first - 1 };
  if (below.last - below.first >= rangeMin) return below;
  const above = { first: ephemeral.last + 1, last: highestPort };
  if (above.last - above.first >= rangeMin) return above;
  return { first: lowestPort, last: defaultEphemeral.first - 1 };
}

/** The range that the system takes the ports of outgoing connections from. */
async function ephemeralRange(): Promise<PortRange> {
  try {
    const text = await readFile('/proc/sys/net/ipv4/ip_local_port_range', 'utf8');
    const [first, last] = text.trim().split(/\s+/).map(Number);
    if (first === undefined || last === undefined) return defaultEphemeral;
    return { first, last };
  } catch {
    return defaultEphemeral;
  }
}

/** True when a server could listen on 127.0.0.1 and this port now. */
export function isPortFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(false));
    probe.listen({ port, host: '127.0.0.1', exclusive: true }, () => {
      probe.close(() => resolve(true));
    });
  });
}

/**
 * A free port outside the ephemeral range. The search begins at a random place, so that programs
 * that search at the same time seldom meet; one that loses the race tries again.
 *
 * @throws EmbeddedError when none is found
 */
export async function findPort(taken: ReadonlySet<number>): Promise<number> {
  const { first, last } = serverPortRange(await ephemeralRange());
  const width = last - first + 1;
  const start = Math.floor(Math.random() * width);
  for (let attempt = 0; attempt < attemptsMax; attempt++) {
    const port = first + ((start + attempt) % width);
    if (!taken.has(port) && (await isPortFree(port))) return port;
  }
  throw new EmbeddedError(`no free port found between ${first} and ${last}`);
}
