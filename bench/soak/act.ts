import type pg from 'pg';
import type { Random } from '../../test/checker/random.ts';
import type { Login } from '../support/login.ts';

/** Who acts. */
export interface Actor {
  readonly client: pg.Client;
  readonly login: Login;
  readonly random: Random;
  /** Its own rows and channel. */
  readonly id: number;
}

/** What a client does at one time; `fails`: with which SQLSTATE, where it is meant to. */
export interface Act {
  readonly run: (actor: Actor) => Promise<unknown>;
  readonly fails?: string;
  /** The client is gone afterwards. */
  readonly isLast?: true;
}

export const table = 'soak';
export const rows = 1_000;
