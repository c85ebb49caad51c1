import type { StalenessResults } from './results.ts';

interface Aim {
  readonly key: string;
  /** Of all reads, with healthy replicas. */
  readonly shareOnReplicasMin: number;
  readonly condition: string;
}

/** What fresh reads are worth depends on how many of them still spare the primary. */
const aims: readonly Aim[] = [
  { key: 'tidemark-session', shareOnReplicasMin: 0.95, condition: 'four reads or more per write' },
  { key: 'tidemark-strong', shareOnReplicasMin: 0.8, condition: 'an unloaded cluster' },
];

/** One line for each aim that the run can tell about. */
export function aimLines(results: StalenessResults): string[] {
  const healthy = results.delays.find(({ delayMs }) => delayMs === 0)?.outcomes ?? [];
  return aims.flatMap(({ key, shareOnReplicasMin, condition }) => {
    const outcome = healthy.find((one) => one.key === key);
    if (outcome === undefined || outcome.reads.count === 0) return [];
    const found = (100 * outcome.shareOnReplicas).toFixed(1);
    const verdict = outcome.shareOnReplicas >= shareOnReplicasMin ? 'met' : 'missed';
    const aim = `at least ${(100 * shareOnReplicasMin).toFixed(0)} % with ${condition}`;
    return [
      `${outcome.name}, healthy replicas: ${found} % of reads on replicas (aim: ${aim}): ${verdict}`,
    ];
  });
}
