import { parseArgs } from 'node:util';
import { nearest } from './suggest.ts';

/** What the command line says about the servers and listeners when there is no file. */
export interface UrlArguments {
  readonly primary: string;
  readonly replicas: readonly string[];
  readonly listen: string | undefined;
  readonly http: string | undefined;
  readonly auth: string | undefined;
  readonly workers: string | undefined;
}

export type Arguments =
  | { readonly command: 'help' | 'version' }
  | { readonly command: 'run' | 'check'; readonly from: 'file'; readonly path: string }
  | { readonly command: 'run' | 'check'; readonly from: 'urls'; readonly urls: UrlArguments };

/** Everything that is wrong with the command line. */
export class ArgumentsError extends Error {
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(problems.join('\n'));
    this.name = 'ArgumentsError';
    this.problems = problems;
  }
}

export const defaultFile = 'config.yaml';

const options = {
  config: { type: 'string', short: 'c' },
  primary: { type: 'string' },
  replica: { type: 'string', multiple: true },
  listen: { type: 'string' },
  http: { type: 'string' },
  auth: { type: 'string' },
  workers: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
} as const;
type OptionName = keyof typeof options;

const withoutFile = ['primary', 'replica', 'listen', 'http', 'auth', 'workers'] as const;

/**
 * @param defaultFileExists whether there is a config.yaml to fall back to
 * @throws ArgumentsError
 */
export function parseArguments(args: readonly string[], defaultFileExists: boolean): Arguments {
  const problems: string[] = [];
  const { given, words } = readTokens(args, problems);
  if (given.has('help') || words.includes('help')) {
    return { command: 'help' };
  }
  if (given.has('version')) {
    return { command: 'version' };
  }
  const command = words[0] === 'check' ? 'check' : 'run';
  for (const word of command === 'check' ? words.slice(1) : words) {
    const near = nearest(word, ['check']);
    // A stray word may be a URL with its password: it is not repeated unless it is near a command.
    problems.push(
      near === null
        ? 'an argument without an option before it: the only command is check'
        : `${word}: no such command: did you mean ${near}?`,
    );
  }
  const path = given.get('config')?.[0];
  const urlOptions = withoutFile.filter((name) => given.has(name));
  if (path !== undefined && urlOptions.length > 0) {
    problems.push(
      `--config and ${urlOptions.map((name) => `--${name}`).join(', ')}: write these in the file, or leave --config out`,
    );
  } else if (urlOptions.length > 0 && !given.has('primary')) {
    problems.push(
      '--primary is missing: write --primary postgres://user:password@host:5432/database',
    );
  } else if (path === undefined && urlOptions.length === 0 && !defaultFileExists) {
    problems.push(
      `no servers: write --primary URL --replica URL, or --config FILE (there is no ${defaultFile} in this folder)`,
    );
  }
  if (problems.length > 0) {
    throw new ArgumentsError(problems);
  }
  if (urlOptions.length === 0) {
    return { command, from: 'file', path: path ?? defaultFile };
  }
  const one = (name: OptionName) => given.get(name)?.[0];
  const urls = {
    primary: one('primary')!,
    replicas: given.get('replica') ?? [],
    listen: one('listen'),
    http: one('http'),
    auth: one('auth'),
    workers: one('workers'),
  };
  return { command, from: 'urls', urls };
}

/** The known options with their values, and the words beside them; the rest becomes problems. */
function readTokens(
  args: readonly string[],
  problems: string[],
): { given: Map<OptionName, string[]>; words: string[] } {
  const given = new Map<OptionName, string[]>();
  const words: string[] = [];
  const { tokens } = parseArgs({
    args: [...args],
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  // The word behind an unknown option is most likely its value, not one more problem.
  let mayBeValueAt = -1;
  for (const token of tokens) {
    if (token.kind === 'positional') {
      if (token.index !== mayBeValueAt) {
        words.push(token.value);
      }
    } else if (token.kind === 'option') {
      if (!Object.hasOwn(options, token.name)) {
        mayBeValueAt = token.inlineValue === true ? -1 : token.index + 1;
        const near = nearest(token.name, Object.keys(options));
        problems.push(
          `${token.rawName}: no such option: ${near === null ? 'tidemark --help lists them' : `did you mean --${near}?`}`,
        );
        continue;
      }
      const name = token.name as OptionName;
      const problem = valueProblem(name, token.value, token.inlineValue === true, given);
      if (problem !== null) {
        problems.push(problem);
      }
      given.set(name, [...(given.get(name) ?? []), token.value ?? '']);
    }
  }
  return { given, words };
}

function valueProblem(
  name: OptionName,
  value: string | undefined,
  isInline: boolean,
  given: ReadonlyMap<OptionName, string[]>,
): string | null {
  const option = options[name];
  if (option.type === 'boolean') {
    return value === undefined ? null : `--${name} takes no value`;
  }
  if (value === undefined || value === '' || (value.startsWith('-') && !isInline)) {
    return `--${name} needs a value`;
  }
  return given.has(name) && !('multiple' in option) ? `--${name} is given twice: keep one` : null;
}
