const millisecondsPerUnit: Readonly<Record<string, number>> = {
  ms: 1,
  millisecond: 1,
  milliseconds: 1,
  s: 1_000,
  sec: 1_000,
  second: 1_000,
  seconds: 1_000,
  m: 60_000,
  min: 60_000,
  minute: 60_000,
  minutes: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  hours: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  days: 86_400_000,
};

/** Milliseconds of a text such as `5s`, `1.5 min` or `5_000 ms`; null where it is none. */
export function durationMs(text: string): number | null {
  const match = /^([\d_,]+(?:\.\d+)?)\s*([a-z]+)$/i.exec(text.trim());
  if (match === null) {
    return null;
  }
  const perUnit = millisecondsPerUnit[match[2]!.toLowerCase()];
  const amount = Number(match[1]!.replaceAll(/[_,]/g, ''));
  return perUnit === undefined || Number.isNaN(amount) ? null : Math.round(amount * perUnit);
}

/** The millisecond key that a name without `_ms`, or with another unit, stands for. */
function millisecondKey(
  key: string,
  known: readonly string[],
): { name: string; perUnit: number } | null {
  if (known.includes(`${key}_ms`)) {
    return { name: `${key}_ms`, perUnit: 1 };
  }
  const cut = key.lastIndexOf('_');
  const perUnit = millisecondsPerUnit[key.slice(cut + 1)];
  const name = `${key.slice(0, cut)}_ms`;
  return cut > 0 && perUnit !== undefined && known.includes(name) ? { name, perUnit } : null;
}

/** What to write instead of an unknown key: ends a sentence, starts in lower case. */
export function suggestKey(
  key: string,
  value: unknown,
  known: readonly string[],
  elsewhere: (key: string) => string | undefined,
): string {
  const snake = toSnake(key);
  const inMs = millisecondKey(snake, known);
  if (inMs !== null) {
    const ms =
      typeof value === 'number'
        ? value * inMs.perUnit
        : typeof value === 'string'
          ? durationMs(value)
          : null;
    return ms === null
      ? `write ${inMs.name}, with milliseconds as a number`
      : `write ${inMs.name}: ${ms}`;
  }
  if (known.includes(snake)) {
    return `write ${snake}`;
  }
  const home = elsewhere(snake);
  if (home !== undefined) {
    return `write it ${home}`;
  }
  const near = nearest(snake, known);
  return near === null ? `known here: ${known.join(', ')}` : `did you mean ${near}?`;
}

function toSnake(key: string): string {
  return key
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1_$2')
    .replaceAll('-', '_')
    .toLowerCase();
}

/** The candidate within an edit distance of a third of its length, or null. */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let bestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase());
    if (distance < bestDistance && distance <= Math.max(1, Math.floor(candidate.length / 3))) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours between two words. */
function editDistance(a: string, b: string): number {
  let beforePrevious: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row++) {
    const current = [row];
    for (let column = 1; column <= b.length; column++) {
      const replaced = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let best = Math.min(replaced, previous[column]! + 1, current[column - 1]! + 1);
      if (row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1]) {
        best = Math.min(best, beforePrevious[column - 2]! + 1);
      }
      current.push(best);
    }
    beforePrevious = previous;
    previous = current;
  }
  return previous[b.length]!;
}
