/** What reads cost and what they miss, through Tidemark and through what else there is: bench/README.md. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { help, parseOptions } from './staleness/options.ts';
import { stalenessPlot } from './staleness/plot.ts';
import { runStaleness } from './staleness/run.ts';
import { brokenLines, stalenessReport } from './staleness/tables.ts';

const options = parseOptions(process.argv.slice(2));
if (options === null) {
  process.stdout.write(help);
} else {
  const results = await runStaleness(options, (line) => process.stderr.write(`${line}\n`));
  process.stdout.write(`\n${stalenessReport(results, 'text')}`);
  if (options.output !== null) {
    await mkdir(dirname(options.output), { recursive: true });
    await writeFile(`${options.output}.json`, `${JSON.stringify(results, null, 1)}\n`);
    await writeFile(`${options.output}.md`, stalenessReport(results, 'markdown'));
    await writeFile(`${options.output}.svg`, stalenessPlot(results));
  }
  process.exitCode = brokenLines(results).length === 0 ? 0 : 1;
}
