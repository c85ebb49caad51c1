import type { Hint } from './statement.ts';

/** Longer hints are cut: they come from clients and are kept with the cached class. */
const HINT_LENGTH_MAX = 1024;

const MARKER = /tidemark:/i;

/**
 * Reads the comments of one statement, delimiters included, that contain `tidemark:`. Words are separated by commas or
 * white space: `primary`, `replica`, or `name=value`. Of contradicting words the last one counts.
 * Anything else changes nothing and is listed, so that a typo can be reported instead of obeyed.
 */
export function parseHint(comments: readonly string[]): Hint | null {
  let target: Hint['target'] = null;
  const settings = new Map<string, string>();
  const unknown: string[] = [];
  let found = false;
  for (const comment of comments) {
    const marker = MARKER.exec(comment);
    if (marker === null) continue;
    found = true;
    const from = marker.index + marker[0].length;
    const body = comment.slice(from, from + HINT_LENGTH_MAX).replace(/\*\/$/, '');
    const words = body.replace(/\s*=\s*/g, '=');
    for (const word of words.split(/[\s,]+/)) {
      if (word === '') continue;
      const small = word.toLowerCase();
      const setting = /^([a-z_][a-z0-9_.]*)=(.+)$/i.exec(word);
      if (small === 'primary' || small === 'replica') target = small;
      else if (setting !== null) settings.set(setting[1]!.toLowerCase(), unquoted(setting[2]!));
      else unknown.push(word);
    }
  }
  return found ? { target, settings, unknown } : null;
}

function unquoted(value: string): string {
  const quoted = /^(['"])(.*)\1$/.exec(value);
  return quoted === null ? value : quoted[2]!;
}
