import { ProxyError } from '../errors.ts';
import { type Setting, Settings, settingFromStartup } from '../pool/settings.ts';
import { isProxySetting } from './read-policy.ts';

/** Cuts the `options` parameter at white space; a backslash keeps what follows (pg_split_opts). */
function splitOptions(options: string): string[] {
  const words: string[] = [];
  let word = '';
  let inWord = false;
  for (let index = 0; index < options.length; index++) {
    const char = options[index]!;
    if (/[ \t\n\v\f\r]/.test(char)) {
      if (inWord) words.push(word);
      word = '';
      inWord = false;
      continue;
    }
    inWord = true;
    if (char === '\\') {
      index += 1;
      word += options[index] ?? '';
    } else {
      word += char;
    }
  }
  if (inWord) words.push(word);
  return words;
}

function invalidArgument(word: string): ProxyError {
  return new ProxyError('invalidOption', word);
}

/** `-c name=value` and `--name=value`: what process_postgres_switches lets a client give. */
function* optionSettings(options: string): Iterable<readonly [string, string]> {
  const words = splitOptions(options);
  for (let index = 0; index < words.length; index++) {
    const word = words[index]!;
    let assignment: string | undefined;
    if (word === '-c') {
      index += 1;
      assignment = words[index];
    } else if (word.startsWith('-c') || word.startsWith('--')) {
      assignment = word.slice(2);
    }
    const equals = assignment?.indexOf('=') ?? -1;
    if (assignment === undefined || equals <= 0) throw invalidArgument(word);
    // As ParseLongOption: a name may be written with dashes.
    const name = assignment.slice(0, equals).replaceAll('-', '_');
    yield [name, assignment.slice(equals + 1)];
  }
}

export interface StartupSettings {
  /** For the servers. */
  readonly settings: Settings;
  /** The proxy's own, by name in lower case. */
  readonly own: ReadonlyMap<string, string>;
}

/**
 * The settings that a startup packet asks for. Parameters override `options`, as in
 * process_startup_options (postinit.c). Raises ProxyError for options that are no settings.
 */
export function startupSettings(params: ReadonlyMap<string, string>): StartupSettings {
  const entries = new Map<string, Setting>();
  const own = new Map<string, string>();
  const take = (name: string, value: string) => {
    const key = name.toLowerCase();
    if (isProxySetting(key)) own.set(key, value);
    else entries.set(key, settingFromStartup(name, value));
  };
  for (const [name, value] of optionSettings(params.get('options') ?? '')) take(name, value);
  for (const [name, value] of params) if (name !== 'options') take(name, value);
  return { settings: Settings.of(entries), own };
}
