/** What a proxy costs, and what it gives, next to others and to none: bench/README.md. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { help, parseOptions } from './throughput/options.ts';
import { benchOwnCluster } from './throughput/own-cluster.ts';
import { benchOwnServers } from './throughput/own-servers.ts';
import { throughputPlot } from './throughput/plot.ts';
import { throughputReport } from './throughput/tables.ts';

const progress = (line: string) => process.stderr.write(`${line}\n`);

async function main(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  if (options === null) {
    process.stdout.write(help);
    return;
  }
  const bench = options.urls.length === 0 ? benchOwnCluster : benchOwnServers;
  const results = await bench(options, progress);
  if (results === null) return;
  process.stdout.write(`\n${throughputReport(results, 'text')}`);
  if (options.output !== null) {
    await mkdir(dirname(options.output), { recursive: true });
    await writeFile(`${options.output}.json`, `${JSON.stringify(results, null, 1)}\n`);
    await writeFile(`${options.output}.md`, throughputReport(results, 'markdown'));
    await writeFile(`${options.output}.svg`, throughputPlot(results));
  }
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  progress(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
