import { describe, expect, it } from 'vitest';
import { LoopTurns } from '../../../src/session/loop-turns.ts';

/** Turns of given lengths: each runs what is to happen in it, at that time into the turn. */
class Loop {
  nowMs = 1_000;
  readonly turns = new LoopTurns(() => this.nowMs);

  async turn<T>(lengthMs: number, run: () => T, afterMs = 0): Promise<T> {
    this.nowMs += afterMs;
    const result = run();
    this.nowMs += lengthMs - afterMs;
    // Behind what has been put there for the end of this turn.
    await new Promise((resolve) => setImmediate(resolve));
    return result;
  }

  wait(ms: number): void {
    this.nowMs += ms;
  }

  send = () => this.turns.sentMs();
}

describe('the time that a server was at it', () => {
  it('is what the proxy waited for it, where it had nothing else to do', async () => {
    const loop = new Loop();
    const sent = await loop.turn(0.1, loop.send);
    loop.wait(3);
    expect(await loop.turn(0.1, () => loop.turns.serverMs(sent))).toBeCloseTo(3.1);
  });

  it('is not that of the turn in which it was sent, where the answer may have come in it', async () => {
    const loop = new Loop();
    const sent = await loop.turn(20, loop.send);
    expect(await loop.turn(5, () => loop.turns.serverMs(sent))).toBe(0);
  });

  it('is that of the turn in which it was sent, where the proxy has waited even so', async () => {
    const loop = new Loop();
    const sent = await loop.turn(20, loop.send, 15);
    loop.wait(1);
    expect(await loop.turn(5, () => loop.turns.serverMs(sent))).toBeCloseTo(6);
  });

  it('is not that of the turn in which its answer came', async () => {
    const loop = new Loop();
    const sent = await loop.turn(20, loop.send);
    await loop.turn(30, loop.send);
    expect(await loop.turn(5, () => loop.turns.serverMs(sent))).toBeCloseTo(20);
  });

  it('is that of all turns in between', async () => {
    const loop = new Loop();
    const sent = await loop.turn(20, loop.send);
    for (let turn = 0; turn < 10; turn++) await loop.turn(30, loop.send);
    const tookMs = await loop.turn(5, () => loop.turns.serverMs(sent));
    expect(tookMs).toBeGreaterThanOrEqual(9 * 30);
    expect(tookMs).toBeLessThanOrEqual(10 * 30 + 20);
  });

  it('is what it was at most where the loop turned without looking', async () => {
    const loop = new Loop();
    const sent = await loop.turn(20, loop.send);
    loop.wait(40);
    expect(await loop.turn(5, () => loop.turns.serverMs(sent))).toBeCloseTo(60);
  });

  it('is never less than nothing', async () => {
    const loop = new Loop();
    await loop.turn(20, loop.send);
    const took = await loop.turn(20, () => loop.turns.serverMs(loop.send()), 10);
    expect(took).toBe(0);
  });
});
