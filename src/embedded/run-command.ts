import { spawn } from 'node:child_process';
import type { Account } from './account.ts';

export interface CommandResult {
  /** Exit code; null when a signal ended it or it could not be started. */
  readonly code: number | null;
  /** Standard output and standard error as they came, or why it could not be started. */
  readonly output: string;
}

/**
 * PostgreSQL's programs read PG* variables (libpq in the walreceiver too) and speak the user's
 * language; the parsed messages and the connections of the cluster must depend on neither.
 */
export function serverEnvironment(): NodeJS.ProcessEnv {
  const environment: NodeJS.ProcessEnv = { LC_ALL: 'C' };
  for (const name of ['PATH', 'TZ', 'TMPDIR']) {
    if (process.env[name] !== undefined) environment[name] = process.env[name];
  }
  return environment;
}

/** Runs a program to its end as the account. Never rejects: a failure to start is a result too. */
export async function runCommand(
  account: Account,
  file: string,
  args: readonly string[],
): Promise<CommandResult> {
  try {
    return await run(account, file, args);
  } catch (error) {
    return { code: null, output: (error as Error).message };
  }
}

function run(account: Account, file: string, args: readonly string[]): Promise<CommandResult> {
  return new Promise((resolve, reject) => {
    let output = '';
    // Throws, or emits an error, depending on what is wrong.
    const child = spawn(file, args, {
      // The account may be unable to enter the directory of this program.
      cwd: '/',
      env: serverEnvironment(),
      stdio: ['ignore', 'pipe', 'pipe'],
      // A session of its own: Ctrl-C on the terminal must not tear it away half-way.
      detached: true,
      ...account.ids,
    });
    const collect = (chunk: Buffer) => {
      output += chunk.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, output: output.trim() }));
  });
}
