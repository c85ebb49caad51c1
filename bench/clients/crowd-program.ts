/** The clients of the bench, in a process of their own, which ends with the bench. */

import { bind, execute, parse, query, sync } from '../../src/protocol/frontend.ts';
import { LockstepClient } from '../../test/support/lockstep-client.ts';
import { describeFrame, RawClient, type RawTarget } from '../../test/support/raw-client.ts';
import { Latencies } from '../support/latencies.ts';
import { BusyClient } from './busy-client.ts';
import type { CrowdAnswers, CrowdCommand, Joined, Worked } from './crowd-command.ts';

type CommandOf<Kind extends CrowdCommand['kind']> = Extract<CrowdCommand, { kind: Kind }>;

/** A session has been at work, and keeps what it has prepared. */
const firstBatches: readonly (readonly Buffer[])[] = [
  [query('SELECT 1')],
  [parse('one', 'SELECT 2'), bind({ statement: 'one' }), execute(), sync],
];
const stayed: RawClient[] = [];

async function logIn(target: RawTarget, failures: string[]): Promise<RawClient | null> {
  try {
    const client = await RawClient.logIn(target);
    for (const batch of firstBatches) {
      const answer = await client.ask(...batch);
      const problem = answer.find(({ type }) => type === 'E') ?? answer.at(-1);
      if (problem?.type === 'Z') continue;
      failures.push(`after the login: ${describeFrame(problem)}`);
      client.destroy();
      return null;
    }
    return client;
  } catch (error) {
    failures.push((error as Error).message);
  }
  return null;
}

async function join({ target, count, atOnce }: CommandOf<'join'>): Promise<Joined> {
  const logins = new Latencies();
  const failures: string[] = [];
  const startMs = performance.now();
  let left = count;
  const oneAfterTheOther = async () => {
    while (left > 0) {
      left -= 1;
      const sinceMs = performance.now();
      const client = await logIn(target, failures);
      if (client === null) continue;
      logins.record(performance.now() - sinceMs);
      stayed.push(client);
    }
  };
  await Promise.all(Array.from({ length: Math.min(atOnce, count) }, oneAfterTheOther));
  const seconds = (performance.now() - startMs) / 1_000;
  return { seconds, logins: logins.summary(), failures };
}

async function work({ target, clients, seconds, load }: CommandOf<'work'>): Promise<Worked> {
  const waits = new Latencies();
  const failures: string[] = [];
  const sockets = await Promise.all(Array.from({ length: clients }, () => logIn(target, failures)));
  const busy = sockets
    .filter((client) => client !== null)
    .map((client, index) => new BusyClient(new LockstepClient(client), index, load, waits));
  const startMs = performance.now();
  const endMs = startMs + seconds * 1_000;
  await Promise.all(busy.map((client) => client.run(() => performance.now() >= endMs)));
  failures.push(...busy.flatMap(({ failure }) => (failure === null ? [] : [failure])));
  return {
    seconds: (performance.now() - startMs) / 1_000,
    statementsByClient: busy.map(({ statements }) => statements),
    waits: waits.summary(),
    failures,
  };
}

function leave(): null {
  for (const client of stayed.splice(0)) client.destroy();
  return null;
}

async function run(command: CrowdCommand): Promise<CrowdAnswers[CrowdCommand['kind']]> {
  switch (command.kind) {
    case 'join':
      return await join(command);
    case 'work':
      return await work(command);
    case 'leave':
      return leave();
  }
}

process.on('message', (command: CrowdCommand) => {
  run(command).then(
    (answer) => process.send?.({ answer }),
    (error: Error) => process.send?.({ error: error.message }),
  );
});
process.on('disconnect', () => process.exit());
