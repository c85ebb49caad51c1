import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkScripts } from '../differential/check.ts';
import type { Feature } from '../differential/command.ts';
import { allowedDifferences } from '../differential/differences.ts';
import { Rig } from '../differential/rig.ts';

/** Repeats the scripts of a run. */
const seed = Number(process.env.TIDEMARK_TEST_SEED ?? Math.floor(Math.random() * 1_000_000));
/** With each of the two seeds. */
const scripts = Number(process.env.TIDEMARK_TEST_SCRIPTS ?? 150);
const timeoutMs = 120_000 + scripts * 500;
const leftOut = new Set<Feature>();

let rig: Rig;

beforeAll(async () => {
  rig = await Rig.start();
});

afterAll(async () => {
  await rig?.stop();
});

describe('random scripts are answered as by the primary', () => {
  test.each([
    ['the same each time', 4],
    [`TIDEMARK_TEST_SEED=${seed}`, seed],
  ])('%s', { timeout: timeoutMs }, async (_, ofRun) => {
    const { failures } = await checkScripts(rig, {
      scripts,
      seed: ofRun,
      leftOut,
      failuresMax: 1,
      progress: () => {},
    });
    expect(failures.join('\n')).toBe('');
  });
});

test('every difference that is allowed is documented', () => {
  const page = readFileSync(new URL('../../docs/differences.md', import.meta.url), 'utf8');
  for (const { name } of allowedDifferences) expect(page).toContain(`**${name}**`);
});
