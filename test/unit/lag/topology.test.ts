import { describe, expect, it } from 'vitest';
import { decideTopology, emptyTopologyMemory, type NodeClaim } from '../../../src/lag/topology.ts';

const primary = (timeline: number | null = 1, systemId = 's1'): NodeClaim => ({
  up: true,
  inRecovery: false,
  timeline,
  systemId,
});
const replica = (timeline: number | null = 1, systemId = 's1'): NodeClaim => ({
  up: true,
  inRecovery: true,
  timeline,
  systemId,
});
const down: NodeClaim = { up: false, inRecovery: false, timeline: 9, systemId: 's9' };

/** Roles after the last of several rounds; fences as their reason. */
function roles(...rounds: NodeClaim[][]): string[] {
  let memory = emptyTopologyMemory;
  let result: string[] = [];
  for (const claims of rounds) {
    const topology = decideTopology(claims, memory);
    memory = topology.memory;
    result = topology.verdicts.map((verdict) => verdict.fencedBecause ?? verdict.role);
    const primaries = result.flatMap((role, node) => (role === 'primary' ? [node] : []));
    expect(primaries).toEqual(topology.primary === -1 ? [] : [topology.primary]);
  }
  return result;
}

describe('decideTopology', () => {
  it('takes the one node out of recovery for the primary', () => {
    expect(roles([replica(), primary(), replica()])).toEqual(['replica', 'primary', 'replica']);
    expect(roles([replica(), replica()])).toEqual(['replica', 'replica']);
    expect(roles([down, replica()])).toEqual(['down', 'replica']);
    expect(roles([down, down])).toEqual(['down', 'down']);
  });

  it('prefers the higher timeline of two primaries', () => {
    expect(roles([primary(1), primary(2)])).toEqual(['older-timeline', 'primary']);
    expect(roles([primary(1), replica()], [primary(1), primary(2)])).toEqual([
      'older-timeline',
      'primary',
    ]);
    expect(roles([primary(10), primary(9)])).toEqual(['primary', 'older-timeline']);
  });

  it('does not go back to an older timeline while the promoted node is down', () => {
    const before = [primary(1), replica(1), replica(1)];
    const promoted = [down, primary(2), replica(2)];
    const oldOneBack = [primary(1), down, down];
    expect(roles(before, promoted, oldOneBack)).toEqual(['older-timeline', 'down', 'down']);
  });

  it('fences a primary as soon as a replica is on a later timeline', () => {
    expect(roles([primary(1), replica(2)])).toEqual(['older-timeline', 'replica']);
  });

  it('keeps the known one of two primaries on one timeline', () => {
    const second = 'second-primary-on-same-timeline';
    expect(roles([replica(), primary()], [primary(), primary()])).toEqual([second, 'primary']);
    expect(roles([primary(), replica()], [down, replica()], [primary(), primary()])).toEqual([
      'primary',
      second,
    ]);
  });

  it('chooses neither of two primaries on one timeline if none is known', () => {
    const second = 'second-primary-on-same-timeline';
    expect(roles([primary(), primary()])).toEqual([second, second]);
    expect(roles([primary(3), primary(3), replica(3)])).toEqual([second, second, 'replica']);
  });

  it('fences another cluster, by majority at first and by what is known afterwards', () => {
    const other = 'other-system-identifier';
    expect(roles([primary(), replica(), primary(7, 's2')])).toEqual(['primary', 'replica', other]);
    expect(roles([primary(), replica(1, 's2')])).toEqual(['primary', other]);
    expect(roles([primary(), replica()], [down, replica(), primary(7, 's2')])).toEqual([
      'down',
      'replica',
      other,
    ]);
    expect(roles([primary(), down], [primary(), primary(7, 's2')])).toEqual(['primary', other]);
  });

  it('chooses no cluster where two have equal claims', () => {
    const other = 'other-system-identifier';
    expect(roles([primary(), primary(1, 's2')])).toEqual([other, other]);
  });

  it('starts anew when the whole cluster was replaced', () => {
    expect(roles([primary(5), replica(5)], [primary(1, 's2'), replica(1, 's2')])).toEqual([
      'primary',
      'replica',
    ]);
  });
});
