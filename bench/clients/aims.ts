import type { ClientsResults } from './results.ts';

/** KB are 1,000 bytes. */
export const idleClientKbMax = 25;
/** No busy client may get less than this share of what the most served one got. */
const servedShareMin = 0.5;

export interface AimLine {
  readonly isMet: boolean;
  readonly text: string;
}

/** What Tidemark is held to, and whether it was. */
export function aimLines(results: ClientsResults): AimLine[] {
  const { clients, logins, storm, others, loads } = results;
  const kb = rssPerClient(results) / 1_000;
  const failed = (failures: readonly string[]) =>
    failures.length === 0 ? 'none' : `${failures.length}, the first: ${failures[0]}`;
  return [
    {
      isMet: kb <= idleClientKbMax,
      text: `An idle client takes at most ${idleClientKbMax} KB of RSS: ${kb.toFixed(1)} KB.`,
    },
    {
      isMet: storm.failures.length === 0,
      text: `${logins} clients log in at once without an error. Errors: ${failed(storm.failures)}.`,
    },
    {
      isMet: others.failures.length === 0,
      text: `So do the others, up to ${clients}. Errors: ${failed(others.failures)}.`,
    },
    ...loads.map(({ load, among: { statementsByClient, failures } }) => {
      const [min, max] = [Math.min(...statementsByClient), Math.max(...statementsByClient)];
      return {
        isMet: failures.length === 0 && min >= servedShareMin * max,
        text: `Every busy client is served, the least at least ${servedShareMin} times as often as the most (${load}): ${min} to ${max}. Errors: ${failed(failures)}.`,
      };
    }),
  ];
}

/** Bytes, when the logins have settled. */
export function rssPerClient({ base, settled, clients }: ClientsResults): number {
  return (settled.rss - base.rss) / clients;
}
