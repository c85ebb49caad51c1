import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { findPort, isPortFree, serverPortRange } from '../../../src/embedded/ports.ts';

test.each([
  ['the default of Linux', { first: 32_768, last: 60_999 }, { first: 15_000, last: 32_767 }],
  ['the default of IANA', { first: 49_152, last: 65_535 }, { first: 15_000, last: 49_151 }],
  ['a low one', { first: 10_000, last: 60_000 }, { first: 60_001, last: 65_535 }],
  ['one that leaves nothing', { first: 1_024, last: 65_535 }, { first: 15_000, last: 32_767 }],
])('stays out of the ephemeral range: %s', (_name, ephemeral, expected) => {
  expect(serverPortRange(ephemeral)).toEqual(expected);
});

test('finds a port that is neither taken nor in use', async () => {
  const taken = new Set<number>();
  for (let count = 0; count < 20; count++) {
    const port = await findPort(taken);
    expect(taken.has(port)).toBe(false);
    taken.add(port);
  }
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  expect(await isPortFree(port)).toBe(false);
  server.close();
  await once(server, 'close');
  expect(await isPortFree(port)).toBe(true);
});
