import { Monitor } from '../../src/lag/monitor.ts';
import { noRequirement, type ReadRequirement } from '../../src/lag/read-requirement.ts';
import { StalenessBudget } from '../../src/lag/staleness-budget.ts';
import { ScriptedServer } from '../../test/unit/lag/scripted-server.ts';
import type { MicroGroup } from './micro-bench.ts';

const readsPerRun = 64;
const gateAimNs = 1_000;
const position = 1_000_000;
/** The bench keeps the process too busy for samples: it must not run out of freshness. */
const maxStalenessMs = 3_600_000;
const firstSamplesMs = 50;

/** A primary and two replicas that have everything: which of them may serve a session's read? */
export async function freshness(): Promise<MicroGroup> {
  const monitor = new Monitor({
    probes: [
      new ScriptedServer('primary', position),
      new ScriptedServer('replica', position),
      new ScriptedServer('replica', position),
    ],
    sampleIntervalMs: 10,
    probeTimeoutMs: 60_000,
    maxStalenessMs,
    onEvent: () => undefined,
  });
  await monitor.start();
  const startedAtMs = monitor.now();
  while (monitor.clock.freshAsOfMs(2) < startedAtMs + firstSamplesMs) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  const requirement: ReadRequirement = {
    ...noRequirement,
    freshAsOfMs: startedAtMs,
    previousNode: 1,
    previousGeneration: monitor.nodes[1]!.generation,
    previousReadEndMs: startedAtMs,
    budget: new StalenessBudget(maxStalenessMs, monitor.nodes.length),
  };
  return {
    title: 'Freshness gate: which of two replicas meet a requirement of the session level',
    benches: [
      {
        name: 'ask for each node whether it does',
        count: readsPerRun,
        aimNs: gateAimNs,
        run: () => {
          for (let read = 0; read < readsPerRun; read++) {
            if (countEligible(monitor, requirement) !== 2)
              throw new Error('a replica is not fresh');
          }
        },
      },
    ],
    end: () => monitor.stop(),
  };
}

function countEligible(monitor: Monitor, requirement: ReadRequirement): number {
  let eligible = 0;
  for (let node = 0; node < monitor.nodes.length; node++) {
    if (monitor.isEligible(node, requirement)) eligible += 1;
  }
  return eligible;
}
