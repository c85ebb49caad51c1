/** Nanoseconds of what is done for every message and statement: bench/README.md. */
import { measure } from 'mitata';
import { checkout } from './micro/checkout.ts';
import { classification } from './micro/classification.ts';
import { framing } from './micro/framing.ts';
import { freshness } from './micro/freshness.ts';
import type { MicroBench } from './micro/micro-bench.ts';
import { describeMachine } from './support/machine.ts';
import { type Column, textTable } from './support/text-table.ts';

interface Row {
  readonly bench: MicroBench;
  readonly medianNs: number;
  readonly p99Ns: number;
}

const ns = (value: number) => value.toFixed(value < 100 ? 1 : 0);

const columns: Column<Row>[] = [
  { title: 'ns', align: 'right', text: ({ medianNs }) => ns(medianNs) },
  { title: 'p99', align: 'right', text: ({ p99Ns }) => ns(p99Ns) },
  { title: 'aim', align: 'right', text: aimOf },
  { title: 'of one', align: 'left', text: ({ bench }) => bench.name },
];

function aimOf({ bench: { aimNs }, medianNs }: Row): string {
  if (aimNs === null) return '';
  return `${medianNs <= aimNs ? 'met' : 'MISSED'}: ${aimNs}`;
}

/** Runs until its times are steady; batches are mitata's business. */
async function measured(bench: MicroBench): Promise<Row> {
  const stats = await measure(bench.run);
  return { bench, medianNs: stats.p50 / bench.count, p99Ns: stats.p99 / bench.count };
}

const { cpu, cores, node, loadBefore } = describeMachine();
process.stdout.write(`${cpu}, ${cores} cores, Node ${node}, load ${loadBefore}\n`);
const makers = [framing, classification, checkout, freshness];
for (const make of makers) {
  const { title, benches, end } = await make();
  const rows: Row[] = [];
  for (const bench of benches) rows.push(await measured(bench));
  process.stdout.write(`\n${title}\n${textTable(columns, rows)}\n`);
  await end?.();
}
