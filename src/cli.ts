#!/usr/bin/env node
import { existsSync } from 'node:fs';
import { checkCluster } from './check.ts';
import { type Arguments, ArgumentsError, defaultFile, parseArguments } from './config/arguments.ts';
import { ConfigError } from './config/config-error.ts';
import { configFromUrls } from './config/from-urls.ts';
import { loadConfig } from './config/load.ts';
import type { Config } from './config.ts';
import { createLogger } from './log.ts';
import { packageVersion } from './package-version.ts';
import { runUntilSignal } from './run-until-signal.ts';
import { explainStartError } from './start-error.ts';

const help = `Usage:
  tidemark [--config FILE]             start with a configuration file (default: ${defaultFile})
  tidemark --primary URL [--replica URL]... [--listen ADDRESS] [--http ADDRESS] [--auth METHOD]
           [--workers NUMBER]          start without a file
  tidemark check [the same options]    check the configuration and every node, start nothing

Options:
  -c, --config FILE    configuration file (its keys: docs/configuration.md)
  --primary URL        postgres://user:password@host:5432/database
  --replica URL        the same for a replica; once for each
  --listen ADDRESS     where applications connect (default: 127.0.0.1:6432)
  --http ADDRESS       metrics and health, or off (default: 127.0.0.1:6433)
  --auth METHOD        scram-sha-256 (default) or trust (only where --listen is a loopback address)
  --workers NUMBER     processes that serve clients, or auto: one for each core (default: 1)
  -h, --help           this text
  -V, --version        the version

Without a file, the users of the URLs may log in, with the passwords given there.
Which node is the primary is measured; --primary and --replica only say which nodes there are.

Exit codes: 0 all went well, 1 the start failed or check found problems,
2 the command line or the configuration is wrong.
`;

const exitCodes = { ok: 0, failed: 1, misused: 2 } as const;

async function main(args: readonly string[]): Promise<number> {
  let parsed: Arguments;
  let config: Config;
  try {
    parsed = parseArguments(args, existsSync(defaultFile));
    if (!('from' in parsed)) {
      process.stdout.write(parsed.command === 'help' ? help : `tidemark ${packageVersion()}\n`);
      return exitCodes.ok;
    }
    config = parsed.from === 'file' ? loadConfig(parsed.path) : configFromUrls(parsed.urls);
  } catch (error) {
    return reportMisuse(error);
  }
  if (parsed.command === 'check') {
    const claimedPrimary = parsed.from === 'urls' ? (config.nodes[0]?.name ?? null) : null;
    const report = await checkCluster(config, claimedPrimary);
    process.stdout.write(`${report.text}\n`);
    return report.problemCount === 0 ? exitCodes.ok : exitCodes.failed;
  }
  return run(config);
}

/** Prints what is wrong with the arguments or the file; anything else is a bug and goes on. */
function reportMisuse(error: unknown): number {
  if (error instanceof ArgumentsError) {
    process.stderr.write(error.problems.map((problem) => `tidemark: ${problem}\n`).join(''));
    process.stderr.write('tidemark: see tidemark --help\n');
    return exitCodes.misused;
  }
  if (error instanceof ConfigError) {
    process.stderr.write(`${error.message}\n`);
    return exitCodes.misused;
  }
  throw error;
}

async function run(config: Config): Promise<number> {
  // Here and not at the top: --help and check need none of the proxy.
  const { startProxy } = await import('./proxy.ts');
  const printLine = (line: string) => process.stdout.write(`${line}\n`);
  try {
    await runUntilSignal(process, async () => {
      const proxy = await startProxy(config, {
        log: createLogger(config.log),
        progress: printLine,
      });
      printLine(await proxy.describe());
      return proxy;
    });
    return exitCodes.ok;
  } catch (error) {
    process.stderr.write(`tidemark: ${explainStartError(error)}\n`);
    return exitCodes.failed;
  }
}

// exit, because a connection that hangs must not keep a program alive that has said its last word.
process.exit(await main(process.argv.slice(2)));
