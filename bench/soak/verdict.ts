import type { SoakResults } from './results.ts';
import type { Sample } from './sample.ts';

/** The part of the run in which code is compiled and pools are filled. */
export const warmUpShare = 0.25;
/** RSS may seem to grow by so much over the rest of the run: where collections fall is chance. */
const growthMax = 0.1;
/** Timers, sockets and files of the proxy itself come and go. */
const handlesSlack = 5;

/** Of least squares: bytes for each second. */
export function rssSlope(samples: readonly Sample[]): number {
  const mean = (values: readonly number[]) =>
    values.reduce((sum, one) => sum + one, 0) / values.length;
  const [at, rss] = [
    mean(samples.map(({ atSeconds }) => atSeconds)),
    mean(samples.map((one) => one.rss)),
  ];
  let [together, spread] = [0, 0];
  for (const sample of samples) {
    together += (sample.atSeconds - at) * (sample.rss - rss);
    spread += (sample.atSeconds - at) ** 2;
  }
  return spread === 0 ? 0 : together / spread;
}

/** What has been left behind at the end, when all clients are gone. Empty: nothing. */
export function leftBehind(before: Sample, after: Sample, connectionsMax: number): string[] {
  const problems: string[] = [];
  const none = (what: string, count: number) => {
    if (count !== 0) problems.push(`${count} ${what}`);
  };
  none('clients are still there', after.clients);
  none('clients are still pinned', after.pinnedClients);
  none('requests still wait for a server connection', after.waiting);
  none('server connections are still in use', after.activeConnections);
  none('server connections are still being opened', after.connectingConnections);
  none('backends are at work or in a transaction', after.busyBackends);
  const most = (what: string, count: number, max: number) => {
    if (count > max) problems.push(`${count} ${what}, at most ${max} may be left`);
  };
  most('server connections', after.idleConnections, connectionsMax);
  most('backends', after.backends, after.idleConnections);
  const more = after.idleConnections - before.idleConnections + handlesSlack;
  most('sockets', after.sockets, before.sockets + more);
  most('open files', after.openFiles, before.openFiles + more);
  most('timers', after.timers, before.timers + handlesSlack);
  return problems;
}

/** Everything that is wrong. Empty: the soak was passed. */
export function problemsOf(results: Omit<SoakResults, 'problems'>): string[] {
  const { samples, before, after, connectionsMax, surprises, logged } = results;
  const steady = samples.slice(Math.floor(samples.length * warmUpShare));
  const [first, last] = [steady[0], steady.at(-1)];
  const problems = leftBehind(before, after, connectionsMax);
  if (first !== undefined && last !== undefined) {
    const growth = (rssSlope(steady) * (last.atSeconds - first.atSeconds)) / first.rss;
    if (growth > growthMax) {
      problems.push(`RSS has grown by ${(growth * 100).toFixed(1)} % after the warm-up`);
    }
  }
  for (const [what, count] of Object.entries(surprises)) problems.push(`${count} times ${what}`);
  return [...problems, ...logged.map((line) => `logged: ${line}`)];
}
