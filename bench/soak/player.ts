import pg from 'pg';
import type { Random } from '../../test/checker/random.ts';
import type { Login } from '../support/login.ts';
import type { Act } from './act.ts';
import { statementActs } from './statement-acts.ts';
import { troubleActs } from './trouble-acts.ts';

/** Of the acts of a client: most go well. */
const troubleShare = 0.08;
const actsMax = 40;

/** What has been played, by name, and what went otherwise than it was meant to. */
export class Tally {
  readonly acts = new Map<string, number>();
  readonly surprises = new Map<string, number>();
  connects = 0;

  acted(name: string): void {
    this.acts.set(name, (this.acts.get(name) ?? 0) + 1);
  }

  surprised(what: string): void {
    this.surprises.set(what, (this.surprises.get(what) ?? 0) + 1);
  }
}

export interface Player {
  readonly login: Login;
  readonly id: number;
  readonly random: Random;
  readonly tally: Tally;
  /** True: it plays no more. */
  readonly isOver: () => boolean;
}

/** Connects, acts, and leaves in one way or another; again and again until the soak is over. */
export async function play(player: Player): Promise<void> {
  while (!player.isOver()) {
    const client = new pg.Client({ ...player.login });
    client.on('error', () => undefined);
    try {
      await client.connect();
      player.tally.connects += 1;
      await live(player, client);
    } catch (error) {
      player.tally.surprised(`connecting: ${messageOf(error)}`);
    }
  }
}

/** One session. */
async function live(player: Player, client: pg.Client): Promise<void> {
  const { random, tally, login, id } = player;
  const count = 1 + random.integer(actsMax);
  for (let index = 0; index < count && !player.isOver(); index++) {
    const acts = random.chance(troubleShare) ? troubleActs : statementActs;
    const [name, act] = random.pick(Object.entries(acts));
    tally.acted(name);
    const surprise = await surpriseOf(act, () => act.run({ client, login, random, id }));
    if (surprise !== null) tally.surprised(`${name}: ${surprise}`);
    // Whoever was surprised may be in any state.
    if (act.isLast || surprise !== null) break;
  }
  await client.end().catch(() => undefined);
}

/** Null: it went as it was meant to. */
async function surpriseOf(act: Act, run: () => Promise<unknown>): Promise<string | null> {
  try {
    await run();
    return act.fails === undefined ? null : 'no error';
  } catch (error) {
    const { code } = error as { code?: string };
    return act.fails !== undefined && code === act.fails ? null : messageOf(error);
  }
}

function messageOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  return code === undefined ? message : `${code} ${message}`;
}
