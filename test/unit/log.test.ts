import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { nodeUrlForLog } from '../../src/log.ts';

it('shows a node without its password', () => {
  const node = {
    name: 'a',
    host: '::1',
    port: 5432,
    user: 'a@b',
    password: 'geheim',
    database: 'd',
  };
  expect(nodeUrlForLog(node)).toBe('postgres://a%40b@[::1]:5432/d');
});

it('writes JSON lines of the configured level to stderr, before the program exits', () => {
  const log = fileURLToPath(new URL('../../src/log.ts', import.meta.url));
  const program = `
    import { createLogger } from ${JSON.stringify(log)};
    const log = createLogger({ level: 'warn' });
    log.info('quiet');
    log.warn({ node: 'a' }, 'loud');
    process.exit(0);`;
  const { stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', import.meta.resolve('tsx'), '--input-type=module', '--eval', program],
    { encoding: 'utf8' },
  );
  expect(stdout).toBe('');
  expect(
    stderr
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { level: 'warn', time: expect.stringMatching(/^\d{4}-.*Z$/), node: 'a', msg: 'loud' },
  ]);
});
