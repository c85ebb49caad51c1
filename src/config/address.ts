import { isIP } from 'node:net';
import type { Address } from '../config.ts';

const portMax = 65_535;

/** Reads `host:port`, `[::1]:port`. What is wrong is returned as a sentence. */
export function parseAddress(text: string, examplePort: number): Address | { problem: string } {
  const example = `127.0.0.1:${examplePort}`;
  const match = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(text);
  if (match === null) {
    if (isIP(text) === 6) {
      return { problem: `no port: write [${text}]:${examplePort}` };
    }
    if (/^\d{1,5}$/.test(text)) {
      return { problem: `no host: write 127.0.0.1:${text}` };
    }
    return {
      problem: /^[\w.-]+$/.test(text)
        ? `no port: write ${text}:${examplePort}`
        : `not an address: write host:port, for example ${example}`,
    };
  }
  const host = match[1] ?? match[2] ?? '';
  const port = Number(match[3]);
  if (match[1] !== undefined && isIP(host) !== 6) {
    return { problem: `brackets take an IPv6 address: write for example [::1]:${match[3]}` };
  }
  if (host === '' || host === '*') {
    return {
      problem: `no host: write 127.0.0.1:${match[3]} (this machine only) or 0.0.0.0:${match[3]} (every network)`,
    };
  }
  if (match[1] === undefined && !isHostName(host)) {
    return { problem: `not a host: write host:port, for example ${example}` };
  }
  if (port > portMax) {
    return { problem: `port ${match[3]} is out of range: write 0 to ${portMax} (0: any free one)` };
  }
  return { host, port };
}

/** A DNS name or a whole IPv4 address. */
function isHostName(host: string): boolean {
  return /^[\d.]+$/.test(host) ? isIP(host) === 4 : /^[A-Za-z0-9_]([\w.-]*\w)?$/.test(host);
}

/** True where nobody but this machine can connect. */
export function isLoopback(host: string): boolean {
  return (
    host === '::1' ||
    host.toLowerCase() === 'localhost' ||
    (isIP(host) === 4 && host.startsWith('127.'))
  );
}

export function addressText(address: Address): string {
  return address.host.includes(':')
    ? `[${address.host}]:${address.port}`
    : `${address.host}:${address.port}`;
}
