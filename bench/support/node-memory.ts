import { type RunningTidemark, sumOfMetric } from './tidemark.ts';

/** What a process of Node.js holds, in bytes, by its own metrics. */
export interface NodeMemory {
  readonly rss: number;
  readonly heapUsed: number;
  readonly heapTotal: number;
  /** Of objects outside the heap: buffers among them. */
  readonly external: number;
}

export async function readMemory(tidemark: Pick<RunningTidemark, 'metrics'>): Promise<NodeMemory> {
  const metrics = await tidemark.metrics();
  return {
    rss: sumOfMetric(metrics, 'process_resident_memory_bytes'),
    heapUsed: sumOfMetric(metrics, 'nodejs_heap_size_used_bytes'),
    heapTotal: sumOfMetric(metrics, 'nodejs_heap_size_total_bytes'),
    external: sumOfMetric(metrics, 'nodejs_external_memory_bytes'),
  };
}
