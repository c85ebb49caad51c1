import { beforeEach, describe, expect, it } from 'vitest';
import { SequenceInterest } from '../../../src/pool/sequence-interest.ts';
import type { ServerConnection } from '../../../src/pool/server-connection.ts';
import { SequenceHome } from '../../../src/session/sequence-home.ts';

const connection = () => ({ sequenceUser: null }) as unknown as ServerConnection;

let interest: SequenceInterest;
let left: SequenceHome;
let right: SequenceHome;
let server: ServerConnection;

beforeEach(() => {
  interest = new SequenceInterest();
  left = new SequenceHome();
  right = new SequenceHome();
  server = connection();
});

describe('the server connection that knows what a session has taken from sequences', () => {
  it('is cleaned where it changes hands, and not before', () => {
    expect(left.take(server, false, interest)).toBe(false);
    expect(left.take(server, true, interest)).toBe(false);
    expect(right.take(server, false, interest)).toBe(true);
    expect(right.take(server, true, interest)).toBe(false);
    expect(left.isAt(server)).toBe(false);
    expect(right.isAt(server)).toBe(true);
  });

  it('is another one after a write elsewhere', () => {
    const elsewhere = connection();
    left.take(server, false, interest);
    left.take(elsewhere, false, interest);
    expect(left.isAt(server)).toBe(false);
    expect(left.take(server, true, interest)).toBe(true);
  });

  it('has to be cleaned once more after DISCARD SEQUENCES, which may have run elsewhere', () => {
    left.take(server, false, interest);
    left.forget();
    expect(left.take(server, true, interest)).toBe(true);
    expect(left.take(server, true, interest)).toBe(false);
  });

  it('is not cleaned for ever where nobody asks, and then before the answer', () => {
    const sessions = [left, right];
    let count = 0;
    while (sessions[count % 2]!.take(server, false, interest) || count === 0) count += 1;
    expect(count).toBeGreaterThan(100);
    const last = sessions[count % 2]!;
    expect(last.take(server, true, interest)).toBe(true);
    expect(last.take(server, true, interest)).toBe(false);
    // Somebody does ask.
    expect(sessions[(count + 1) % 2]!.take(server, false, interest)).toBe(true);
  });
});
