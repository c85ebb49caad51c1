import { createServer } from 'node:net';
import { expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { explainStartError } from '../../../src/start-error.ts';

it('says which address is in use', async () => {
  const first = createServer();
  await new Promise<void>((resolve) => first.listen(0, '127.0.0.1', resolve));
  const { port } = first.address() as { port: number };
  const second = createServer();
  const error = await new Promise((resolve) => {
    second.on('error', resolve);
    second.listen(port, '127.0.0.1');
  });
  await new Promise((resolve) => first.close(resolve));
  expect(explainStartError(error)).toBe(
    `cannot listen on 127.0.0.1:${port}: another program does (is Tidemark running already?); stop it, or write another port in listen or http`,
  );
});

it('keeps to one line, with the hint that the error has', () => {
  expect(explainStartError(new Error('a\nb'))).toBe('a b');
  expect(explainStartError(new ProxyError('noPrimary', 5))).toMatch(
    /^no primary is available \(waited 5 ms\) \(The statement/,
  );
  expect(explainStartError('text')).toBe('text');
});
