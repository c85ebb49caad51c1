/** What thousands of connected clients cost, and whether the busy ones notice: bench/README.md. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { aimLines } from './clients/aims.ts';
import { help, parseOptions } from './clients/options.ts';
import { clientsReport } from './clients/report.ts';
import { benchClients } from './clients/run.ts';

const progress = (line: string) => process.stderr.write(`${line}\n`);

async function main(args: readonly string[]): Promise<void> {
  const options = parseOptions(args);
  if (options === null) {
    process.stdout.write(help);
    return;
  }
  const results = await benchClients(options, progress);
  process.stdout.write(`\n${clientsReport(results, 'text')}`);
  if (options.output !== null) {
    await mkdir(dirname(options.output), { recursive: true });
    await writeFile(`${options.output}.json`, `${JSON.stringify(results, null, 1)}\n`);
    await writeFile(`${options.output}.md`, clientsReport(results, 'markdown'));
  }
  if (aimLines(results).some(({ isMet }) => !isMet)) process.exitCode = 1;
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  progress(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
