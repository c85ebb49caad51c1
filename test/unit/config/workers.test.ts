import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { ArgumentsError, parseArguments } from '../../../src/config/arguments.ts';
import { ConfigError } from '../../../src/config/config-error.ts';
import { configFromUrls } from '../../../src/config/from-urls.ts';
import { parseConfig } from '../../../src/config/load.ts';
import type { Config } from '../../../src/config.ts';

const fromFile = (text: string): Config => parseConfig(`embedded:\n${text}`, 'config.yaml');

function fromLine(line: string): Config {
  const args = `--primary postgres://app:secret@h ${line}`.trim().split(' ');
  const parsed = parseArguments(args, false);
  if (!('urls' in parsed)) throw new Error('no start without a file');
  return configFromUrls(parsed.urls);
}

/** What is wrong, or the number of workers. */
function outcome(read: () => Config): number | readonly string[] {
  try {
    return read().workers;
  } catch (error) {
    if (error instanceof ConfigError) return error.problems.map(({ message }) => message);
    if (error instanceof ArgumentsError) return error.problems;
    throw error;
  }
}

describe('the number of workers', () => {
  it('is one unless another is given', () => {
    expect(outcome(() => fromFile(''))).toBe(1);
    expect(outcome(() => fromFile('workers: 4'))).toBe(4);
    expect(outcome(() => fromLine(''))).toBe(1);
    expect(outcome(() => fromLine('--workers 4'))).toBe(4);
  });

  it('is automatically that of the cores, as far as the limits can be shared by so many', () => {
    const cores = availableParallelism();
    expect(outcome(() => fromFile('workers: auto'))).toBe(Math.min(cores, 20));
    expect(outcome(() => fromLine('--workers auto'))).toBe(Math.min(cores, 20));
    expect(outcome(() => fromFile('workers: auto\npool: { size: 1 }'))).toBe(1);
    expect(outcome(() => fromFile('workers: auto\nfreshness: { fallback_reads_max: 0 }'))).toBe(
      Math.min(cores, 20),
    );
  });

  it.each([
    ['workers: 0', 'workers: 0 is out of range: write 1 to 128'],
    [
      'workers: many',
      'workers: expected a whole number from 1 to 128, found "many": write for example 1',
    ],
    [
      'workers: 8\npool: { size: 5 }',
      'workers: 8 workers cannot share pool.size: 5: write 5 or less, or raise pool.size',
    ],
    [
      'workers: 3\nclients: { max: 2 }',
      'workers: 3 workers cannot share clients.max: 2: write 2 or less, or raise clients.max',
    ],
    [
      'workers: 2\nfreshness: { fallback_reads_max: 1 }',
      'workers: 2 workers cannot share freshness.fallback_reads_max: 1: write 1 or less, or raise freshness.fallback_reads_max',
    ],
  ])('is refused: %s', (text, problem) => {
    expect(outcome(() => fromFile(text))).toEqual([problem]);
  });

  it('may be any where there is no limit of reads on the primary', () => {
    expect(outcome(() => fromFile('workers: 2\nfreshness: { fallback_reads_max: 0 }'))).toBe(2);
  });

  it.each([
    ['0', '--workers: "0": write 1 to 128, or auto'],
    ['1e1', '--workers: "1e1": write 1 to 128, or auto'],
    ['129', '--workers: "129": write 1 to 128, or auto'],
    [
      '21',
      '--workers: 21 workers cannot share pool.size: 20: write 20 or less, or raise pool.size',
    ],
  ])('is refused on the command line: %s', (text, problem) => {
    expect(outcome(() => fromLine(`--workers ${text}`))).toEqual([problem]);
  });
});
