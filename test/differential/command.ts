import type { Message } from './message.ts';

/** A part of the language of scripts, which can be left out by this name. */
export const features = [
  'read',
  'write',
  'error',
  'ddl',
  'temp',
  'transaction',
  'savepoint',
  'setting',
  'role',
  'cursor',
  'held-cursor',
  'sql-prepare',
  /** SQL PREPARE, EXECUTE and DEALLOCATE of names that Parse uses as well. */
  'shared-names',
  'advisory',
  'block',
  'two-phase',
  'copy',
  'statement',
  'portal',
  'call',
  'listen',
  'discard',
  'multi',
  'flush',
  'pipeline',
  'startup',
  'terminate',
  'other',
] as const;

export type Feature = (typeof features)[number];

/** What another session does in between, on the proxied side: nothing of it may be noticed. */
export type OtherAction =
  | 'reads'
  | 'writes'
  | 'fails'
  | 'holds the primary'
  | 'holds a replica'
  | 'lets go';

/** Messages that are sent at once, and their replies waited for. */
export interface Command {
  readonly feature: Feature;
  readonly messages: readonly Message[];
  readonly other: OtherAction | null;
}

/** A random script. */
export interface GeneratedScript {
  /** Startup parameters. */
  readonly params: Readonly<Record<string, string>>;
  readonly commands: readonly Command[];
  /** How the bytes go to the proxy: command by command, in shreds, or all of them at once. */
  readonly delivery: 'stepwise' | 'shredded' | 'at once';
}

export function shown({ params, commands, delivery }: GeneratedScript): string {
  const named = Object.keys(params).length > 0 ? ` ${JSON.stringify(params)}` : '';
  const lines = commands.map(({ messages, other }, index) => {
    const what =
      other !== null ? `another session ${other}` : messages.map((one) => one.shown).join(', ');
    return `  ${String(index).padStart(2)} ${what}`;
  });
  return `${delivery}${named}\n${lines.join('\n')}`;
}

/** The texts of its queries and prepared statements. */
export function sqlOf({ commands }: GeneratedScript): string[] {
  return commands.flatMap(({ messages }) => messages.map((message) => message.sql ?? ''));
}
