import { describe, expect, it } from 'vitest';
import {
  ArgumentsError,
  parseArguments,
  type UrlArguments,
} from '../../../src/config/arguments.ts';
import { configFromUrls } from '../../../src/config/from-urls.ts';

/** Every problem of a command line, those of its values included. */
function problemsOf(line: string, defaultFileExists = true): readonly string[] {
  try {
    const parsed = parseArguments(line.split(' ').filter(Boolean), defaultFileExists);
    if ('from' in parsed && parsed.from === 'urls') {
      configFromUrls(parsed.urls);
    }
  } catch (error) {
    expect(error).toBeInstanceOf(ArgumentsError);
    return (error as ArgumentsError).problems;
  }
  return [];
}

const primary = '--primary postgres://app:geheim@h1/db';

describe('a command line', () => {
  it('names a file, or the one of the folder', () => {
    expect(parseArguments(['--config', 'a.yaml'], false)).toEqual({
      command: 'run',
      from: 'file',
      path: 'a.yaml',
    });
    expect(parseArguments(['check'], true)).toEqual({
      command: 'check',
      from: 'file',
      path: 'config.yaml',
    });
    expect(parseArguments(['check', '-c', 'b.yaml'], true)).toMatchObject({ path: 'b.yaml' });
  });

  it('asks for help or the version, whatever else it says', () => {
    expect(parseArguments(['--nonsense', '--help'], false)).toEqual({ command: 'help' });
    expect(parseArguments(['-h'], false)).toEqual({ command: 'help' });
    expect(parseArguments(['--version'], false)).toEqual({ command: 'version' });
  });

  it('becomes a configuration with the users of its URLs', () => {
    const parsed = parseArguments(
      `${primary} --replica postgres://app:geheim@h2:5433/db --replica postgres://web:w@h3 --http off`.split(
        ' ',
      ),
      true,
    );
    const config = configFromUrls((parsed as { urls: UrlArguments }).urls);
    expect(config.nodes.map(({ name }) => name)).toEqual(['h1:5432', 'h2:5433', 'h3:5432']);
    expect(config.users).toEqual([
      { name: 'app', secret: 'geheim', serverPassword: 'geheim' },
      { name: 'web', secret: 'w', serverPassword: 'w' },
    ]);
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 6432 });
    expect(config.http).toBeNull();
    expect(config.auth).toBe('scram-sha-256');
    expect(config.pool.size).toBe(20);
    expect(Object.isFrozen(config.nodes)).toBe(true);
  });
});

describe('a problem of the command line', () => {
  it.each([
    ['--primry postgres://a:b@h', ['--primry: no such option: did you mean --primary?']],
    ['chekc', ['chekc: no such command: did you mean check?']],
    [
      'postgres://a:geheim@h',
      ['an argument without an option before it: the only command is check'],
    ],
    ['--config', ['--config needs a value']],
    ['--config a --config b', ['--config is given twice: keep one']],
    [
      `${primary} --config a`,
      ['--config and --primary: write these in the file, or leave --config out'],
    ],
    [
      '--listen 127.0.0.1:1',
      ['--primary is missing: write --primary postgres://user:password@host:5432/database'],
    ],
    [`${primary} --listen 6432`, ['--listen: "6432": no host: write 127.0.0.1:6432']],
    [`${primary} --auth md5`, ['--auth: "md5" is not one of scram-sha-256, trust']],
    [
      `${primary} --auth trust --listen 0.0.0.0:6432`,
      [
        '--auth trust lets everybody in who reaches 0.0.0.0:6432: leave it out, or write --listen 127.0.0.1:6432',
      ],
    ],
    [
      `${primary} --replica postgres://app:geheim@H1`,
      ['--replica (number 1): the node h1:5432 is listed twice: list each server once'],
    ],
    [
      `${primary} --replica postgres://app:other@h2`,
      [
        '--replica (number 1): the password of app differs from the one for node h1:5432: write the same one in both',
      ],
    ],
    [
      `${primary} --http 127.0.0.1:6432`,
      ['--http: the same address as --listen: write another port, or --http off'],
    ],
    [
      '--primary postgres://app@h1',
      [
        'nobody could log in: write a password in the URLs (postgres://user:password@host:5432/database), or --auth trust',
      ],
    ],
  ])('%s', (line, problems) => {
    expect(problemsOf(line)).toEqual(problems);
  });

  it('no servers at all', () => {
    expect(problemsOf('', false)).toEqual([
      'no servers: write --primary URL --replica URL, or --config FILE (there is no config.yaml in this folder)',
    ]);
  });

  it('comes with all the others, and without passwords', () => {
    const problems = problemsOf(
      '--primary postgres://a:geheim@h:99999 --replica postgres://a:ge/heim@h --listen x --http y --auth z',
    );
    expect(problems.map((problem) => problem.split(/[ :]/)[0])).toEqual([
      '--primary',
      '--replica',
      '--auth',
      '--listen',
      '--http',
    ]);
    expect(problems.join()).not.toMatch(/heim/);
    expect(problemsOf('--x --config --primary')).toHaveLength(2);
  });
});
