import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { commandLine } from '../../../../bench/throughput/command-line.ts';
import { parseOptions } from '../../../../bench/throughput/options.ts';

describe('the options of the throughput bench', () => {
  it('have defaults', () => {
    expect(parseOptions([])).toMatchObject({
      workloads: ['select-only', 'tpcb', 'mixed', 'slow-neighbour'],
      protocols: ['simple', 'extended', 'prepared'],
      clients: [1, 8, 32, 128, 500],
      ...{ targets: null, urls: [], tables: 'use', program: 'built', fsync: 'on' },
    });
    expect(parseOptions(['-h'])).toBeNull();
  });

  it('come back as a command line that means the same', () => {
    const args = ['--targets', 'direct,tidemark', '--clients', '8,32', '--seconds', '2'];
    const options = parseOptions([...args, '--workloads', 'mixed', '--scale', '3', '--source'])!;
    const words = commandLine(options).split(' ').slice(4);
    expect(parseOptions(words)).toEqual(options);
  });

  it.each([
    ['--clients', '0'],
    ['--clients', '1,,2'],
    ['--seconds', '0.5'],
    ['--targets', 'nginx'],
    ['--workloads', 'tpcc'],
    ['--protocols', 'Simple'],
    ['--fsync', 'maybe'],
    ['--nothing-of-the-kind', '1'],
  ])('refuse %s %s', (option, value) => {
    expect(() => parseOptions([option, value])).toThrow(option);
  });

  it('do not let --init, --drop and --targets stand where they mean nothing', () => {
    const url = 'postgres://me@db:5432/app';
    expect(() => parseOptions(['--init'])).toThrow('--url');
    expect(() => parseOptions(['--url', url, '--init', '--drop'])).toThrow('not both');
    expect(() => parseOptions(['--url', url, '--targets', 'direct'])).toThrow('--targets');
  });
});

describe('URLs', () => {
  const secret = 'pa/ss%20';
  const url = `postgres://me:${encodeURIComponent(secret)}@db.example:6432/app?sslmode=require`;

  it('have names, and log in with their password', () => {
    const [named, unnamed] = parseOptions(['--url', `pooler=${url}`, '--url', url])!.urls;
    expect(named!.name).toBe('pooler');
    expect(unnamed!.name).toBe('db.example:6432');
    expect(named!.login()).toEqual({
      ...{ host: 'db.example', port: 6432, user: 'me', password: secret, database: 'app' },
    });
    expect(named!.connection).toBe('postgres://me@db.example:6432/app?sslmode=require');
  });

  it('are told apart by their names', () => {
    expect(() => parseOptions(['--url', url, '--url', url])).toThrow('same name');
  });

  it('never show their password', () => {
    const options = parseOptions(['--url', url])!;
    for (const shown of [inspect(options, { depth: 9 }), JSON.stringify(options)]) {
      expect(shown).not.toMatch(/pa(\/|%2F)ss/i);
    }
    expect(commandLine(options)).not.toMatch(/pa(\/|%2F)ss/i);
  });

  it.each([
    'mysql://me:secret@db/app',
    'a=b=postgres://me:secret@db/app',
    'postgres://me:secret@db',
    'postgres://:secret@db/app',
    'postgres://me:secret@db:99999/app',
    'postgres://me@db/app?password=secret',
  ])('are refused without showing them: %s', (bad) => {
    const parsing = () => parseOptions(['--url', bad]);
    expect(parsing).toThrow('--url');
    try {
      parsing();
    } catch (error) {
      expect(inspect(error)).not.toContain('secret@db');
      expect((error as Error).message).not.toContain('secret');
    }
  });
});
