/** Whether anything is left behind by clients of all kinds, for as long as one likes: bench/README.md. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { help, parseOptions } from './soak/options.ts';
import { soakPlot } from './soak/plot.ts';
import { soakReport } from './soak/report.ts';
import { soak } from './soak/run.ts';

const progress = (line: string) => process.stderr.write(`${line}\n`);

async function main(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  if (options === null) {
    process.stdout.write(help);
    return;
  }
  const results = await soak(options, progress);
  process.stdout.write(`\n${soakReport(results, 'text')}`);
  if (options.output !== null) {
    await mkdir(dirname(options.output), { recursive: true });
    await writeFile(`${options.output}.json`, `${JSON.stringify(results, null, 1)}\n`);
    await writeFile(`${options.output}.md`, soakReport(results, 'markdown'));
    await writeFile(`${options.output}.svg`, soakPlot(results));
  }
  if (results.problems.length > 0) process.exitCode = 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  progress(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
