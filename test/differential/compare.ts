import { type GeneratedScript, shown } from './command.ts';
import { type AllowedDifference, allowedDifferences } from './differences.ts';
import type { Rig, Trace } from './rig.ts';

export interface Verdict {
  /** What differs and may not, for a human; null: nothing. */
  readonly difference: string | null;
  /** Names of the differences that were met and are allowed. */
  readonly allowed: readonly string[];
}

/** Compares what the two were told, line by line, but for what is allowed to differ. */
export function judge(
  script: GeneratedScript,
  direct: Trace,
  proxied: Trace,
  rules: readonly AllowedDifference[] = allowedDifferences,
): Verdict {
  const traces = [direct, proxied].map(withoutPlaces).map(withReportsByName);
  const heard = traces.map(({ lines }) => byChannel(lines.filter(isNotification)));
  if (heard[0]!.join('\n') !== heard[1]!.join('\n')) {
    return { difference: `notifications:\n${excerpt(heard[0]!, heard[1]!, 0, 0)}`, allowed: [] };
  }
  const [ofDirect, ofProxied] = traces.map(withoutNotifications);
  return judgeInOrder(script, ofDirect!, ofProxied!, rules);
}

/** Where a row lies, which some errors tell (CONTEXT of a wait for a lock), no two databases agree on. */
const withoutPlaces = (trace: Trace): Trace => ({
  ...trace,
  lines: trace.lines.map((line) =>
    line.replace(/ tuple \(\d+,\d+\) in relation/, ' tuple in relation'),
  ),
});

/** In which order a statement's changes are reported is nobody's promise (ReportChangedGUCOptions, guc.c). */
const withReportsByName = (trace: Trace): Trace => ({
  ...trace,
  lines: reportsByName(trace.lines),
});

/** Those that follow each other; of one parameter they keep their order. */
function reportsByName(lines: readonly string[]): string[] {
  const nameOf = (line: string) => /^ParameterStatus (\w+)=/.exec(line)?.[1];
  const runs: string[][] = [];
  for (const line of lines) {
    const run = runs.at(-1);
    const goesOn = nameOf(line) !== undefined && nameOf(run?.[0] ?? '') !== undefined;
    if (goesOn) run!.push(line);
    else runs.push([line]);
  }
  return runs.flatMap((run) =>
    run.toSorted((a, b) => (nameOf(a) ?? '').localeCompare(nameOf(b) ?? '')),
  );
}

/**
 * When a session hears of others is nobody's promise, only that it does, of each once, and in the
 * order of their commits.
 */
const isNotification = (line: string) => line.startsWith('NotificationResponse');

/** What came by one channel keeps its order. */
function byChannel(lines: readonly string[]): string[] {
  const channelOf = (line: string) => line.split(' ')[1]!;
  return lines.toSorted((a, b) => channelOf(a).localeCompare(channelOf(b)));
}

const withoutNotifications = (trace: Trace): Trace => ({
  ...trace,
  lines: trace.lines.filter((line) => !isNotification(line)),
});

function judgeInOrder(
  script: GeneratedScript,
  direct: Trace,
  proxied: Trace,
  rules: readonly AllowedDifference[],
): Verdict {
  const allowed: string[] = [];
  let directAt = 0;
  let proxiedAt = 0;
  while (directAt < direct.lines.length || proxiedAt < proxied.lines.length) {
    if (direct.lines[directAt] === proxied.lines[proxiedAt]) {
      directAt += 1;
      proxiedAt += 1;
      continue;
    }
    const fork = {
      script,
      direct: direct.lines,
      proxied: proxied.lines,
      directAt,
      proxiedAt,
    };
    const rule = rules.find((one) => one.explains(fork) !== null);
    if (rule === undefined) {
      const difference = excerpt(direct.lines, proxied.lines, directAt, proxiedAt);
      return { difference, allowed };
    }
    allowed.push(rule.name);
    const explained = rule.explains(fork)!;
    if (explained === 'rest') return { difference: null, allowed };
    directAt += explained.direct;
    proxiedAt += explained.proxied;
  }
  const index = direct.left.findIndex((line, at) => line !== proxied.left[at]);
  const isSame = index < 0 && direct.left.length === proxied.left.length;
  const leftAt = index < 0 ? direct.left.length : index;
  const difference = isSame
    ? null
    : `left behind:\n${excerpt(direct.left, proxied.left, leftAt, leftAt)}`;
  return { difference, allowed };
}

const shownBefore = 2;
const shownAfter = 3;

function excerpt(
  direct: readonly string[],
  proxied: readonly string[],
  directAt: number,
  proxiedAt: number,
): string {
  const marked = (lines: readonly string[], at: number, mark: string) =>
    at >= lines.length
      ? [`  ${mark} nothing more`]
      : lines.slice(at, at + shownAfter).map((line) => `  ${mark} ${line}`);
  return [
    ...direct
      .slice(Math.max(0, directAt - shownBefore), directAt)
      .map((line) => `          ${line}`),
    ...marked(direct, directAt, 'direct '),
    ...marked(proxied, proxiedAt, 'proxied'),
  ].join('\n');
}

export async function compare(rig: Rig, script: GeneratedScript): Promise<Verdict> {
  const { direct, proxied } = await rig.run(script).catch((error: Error) => {
    throw new Error(`the servers failed over a script: ${shown(script)}`, { cause: error });
  });
  // A script that PostgreSQL itself leaves without an answer shows nothing.
  if (direct.isSilent) return { difference: null, allowed: ['no answer from PostgreSQL'] };
  return judge(script, direct, proxied);
}
