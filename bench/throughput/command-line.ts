import type { ThroughputOptions } from './options.ts';

/** What makes the same run again; URLs are without their passwords. */
export function commandLine(options: ThroughputOptions): string {
  const { urls, targets, fsync, poolSize, program } = options;
  const words = ['npm run bench --'];
  for (const { name, shown } of urls) words.push(`--url '${name}=${shown}'`);
  if (targets !== null) words.push(`--targets ${targets.join(',')}`);
  words.push(
    `--workloads ${options.workloads.join(',')}`,
    `--protocols ${options.protocols.join(',')}`,
    `--clients ${options.clients.join(',')}`,
    `--seconds ${options.seconds}`,
    `--repetitions ${options.repetitions}`,
  );
  if (urls.length === 0) {
    words.push(`--scale ${options.scale}`, `--pool-size ${poolSize}`, `--fsync ${fsync}`);
    if (program === 'source') words.push('--source');
  }
  return words.join(' ');
}
