import type { Command, GeneratedScript } from './command.ts';
import { sqlOf } from './command.ts';
import type { Message } from './message.ts';

/** Where two traces first say different things. */
export interface Fork {
  readonly script: GeneratedScript;
  readonly direct: readonly string[];
  readonly proxied: readonly string[];
  /** Of the first lines that differ. */
  readonly directAt: number;
  readonly proxiedAt: number;
}

/** How many lines are explained on each side; `rest`: what follows can no longer be compared. */
export type Explanation = { readonly direct: number; readonly proxied: number } | 'rest';

/** Something that Tidemark says differently and may: docs/differences.md has it under this name. */
export interface AllowedDifference {
  readonly name: string;
  explains(fork: Fork): Explanation | null;
}

const sqlstate = (line: string | undefined): string | null =>
  /^ErrorResponse .*? C:(\w{5}) /.exec(line ?? '')?.[1] ?? null;

const preparation = /^(ParseComplete|ParameterDescription|RowDescription|NoData|BindComplete)/;

/** One line each. */
const inOtherWords: Explanation = { direct: 1, proxied: 1 };

const isReady = (line: string) => line.startsWith('ReadyForQuery');

/** What is left of the batch or query; where it leaves another state behind, of the script. */
function toReady({ direct, proxied, directAt, proxiedAt }: Fork): Explanation {
  const directReady = direct.findIndex((line, at) => at >= directAt && isReady(line));
  const proxiedReady = proxied.findIndex((line, at) => at >= proxiedAt && isReady(line));
  if (directReady < 0 || proxiedReady < 0) return 'rest';
  if (direct[directReady] !== proxied[proxiedReady]) return 'rest';
  const batchAt = direct.findLastIndex((line, at) => at < directAt && /^(---|Ready)/.test(line));
  const hasRun = (from: number) =>
    direct.slice(from, directReady).some((line) => /^CommandC/.test(line));
  const fails = direct.slice(directAt, directReady).some((line) => line.startsWith('Error'));
  // What ran before goes with the batch, where that fails on one side only.
  return hasRun(directAt) || (hasRun(batchAt) && !fails)
    ? 'rest'
    : { direct: directReady - directAt, proxied: proxiedReady - proxiedAt };
}

/** The messages that are being answered. */
function messagesAt({ script, direct, directAt }: Fork): readonly Message[] {
  const at = direct.findLastIndex((line, index) => index <= directAt && line.startsWith('--- '));
  const { commands, delivery } = script;
  const asked: readonly (Command | undefined)[] =
    delivery === 'at once' ? commands : [commands[Number(direct[at]?.slice('--- '.length))]];
  return asked.flatMap((command) => command?.messages ?? []);
}

const mentions = (script: GeneratedScript, what: RegExp): boolean =>
  sqlOf(script).some((sql) => what.test(sql));

const changesNames = (script: GeneratedScript): boolean =>
  mentions(script, /search_path|\b(drop|alter|create|discard)\b/);

const readOnly = /read[ _]only/;
const isReadOnly = (script: GeneratedScript): boolean =>
  mentions(script, readOnly) || Object.keys(script.params).some((name) => readOnly.test(name));

/** What PostgreSQL says of a Bind or EXECUTE before it looks at what the statement means now. */
const isRefusedBind = (line: string): boolean =>
  / M:(bind message supplies \d+|wrong number of) parameters/.test(line) ||
  / W:\w+ portal.* parameter /.test(line);

export const allowedDifferences: readonly AllowedDifference[] = [
  {
    name: 'error at Bind',
    explains({ direct, proxied, directAt, proxiedAt }) {
      const expected = sqlstate(direct[directAt]);
      if (expected === null) return null;
      let at = proxiedAt;
      while (preparation.test(proxied[at] ?? '')) at += 1;
      const isLater = at > proxiedAt && sqlstate(proxied[at]) === expected;
      return isLater ? { direct: 0, proxied: at - proxiedAt } : null;
    },
  },
  {
    name: 'prepared again',
    explains(fork) {
      const { script, direct, proxied, directAt, proxiedAt } = fork;
      const said = proxied[proxiedAt] ?? '';
      const expected = direct[directAt] ?? '';
      const isOutdated = / C:0A000 M:cached plan must not change/.test(said);
      const isUnknownName = /^(42|3F)/.test(sqlstate(said) ?? '');
      if (!(isOutdated || isUnknownName) || !changesNames(script)) return null;
      if (isRefusedBind(expected)) return inOtherWords;
      if (isUnknownName && expected.startsWith('ParameterDescription')) return toReady(fork);
      // In front of the first message that fails: the batch comes to nothing all the same.
      const namesAny = messagesAt(fork).some(({ shown }) => /^(B|DS)\('s/.test(shown));
      const fails = direct.slice(directAt).find((line) => /^(Error|Ready)/.test(line));
      return namesAny && sqlstate(fails) !== null ? toReady(fork) : null;
    },
  },
  {
    name: 'too late for an isolation level',
    explains(fork) {
      const { script, direct, proxied, directAt, proxiedAt } = fork;
      const isTooLate = / C:25001 M:SET TRANSACTION .* must be called before any query/;
      const isBegun = /^CommandComplete (BEGIN|START TRANSACTION|SET)$/;
      // What was prepared before a Flush may have been prepared on another server.
      const isOpen = script.commands.some(({ messages }) =>
        messages.some(({ shown }) => shown === 'H'),
      );
      if (isTooLate.test(direct[directAt] ?? '') && isBegun.test(proxied[proxiedAt] ?? ''))
        return isOpen ? 'rest' : null;
      const describes = messagesAt(fork).some(({ shown }) => shown.startsWith('DS('));
      const setsPath = 'search_path' in script.params && mentions(script, /\b(reset|chain)\b/);
      const isCaused = describes || setsPath;
      if (!isCaused || !isTooLate.test(proxied[proxiedAt] ?? '')) return null;
      return isBegun.test(direct[directAt] ?? '') ? 'rest' : null;
    },
  },
  {
    name: 'failed transaction on another connection',
    explains(fork) {
      const { proxied, direct, proxiedAt, directAt } = fork;
      const isTaken = sqlstate(direct[directAt]) === '42P05';
      const isMade = proxied[proxiedAt] === 'CommandComplete PREPARE';
      const isUnknown = sqlstate(proxied[proxiedAt]) === '26000';
      const goesOn = /^(commit|rollback|end|abort)\b.*;.*\b(prepare|execute|deallocate)\b/;
      if ((isTaken && isMade) || isUnknown) {
        return messagesAt(fork).some(({ sql }) => goesOn.test(sql ?? '')) ? 'rest' : null;
      }
      if (sqlstate(proxied[proxiedAt]) !== '25P02') return null;
      const expected = direct[directAt] ?? '';
      if (isRefusedBind(expected)) return inOtherWords;
      if (!expected.startsWith('ParameterDescription')) return null;
      // What is skipped to Sync makes no statement, which the rest of the script may name.
      const makesAny = messagesAt(fork).some(({ shown }) => shown.startsWith('P('));
      return makesAny ? 'rest' : toReady(fork);
    },
  },
  {
    name: 'READ ONLY transaction on a replica',
    explains({ script, direct, proxied, directAt, proxiedAt }) {
      if (!isReadOnly(script)) return null;
      const line = proxied[proxiedAt] ?? '';
      if (line.includes('M:this READ ONLY transaction runs on a replica')) return 'rest';
      // A replica refuses COPY FROM before it looks for the table.
      const isRefused = ['25006', '42P01'].includes(sqlstate(direct[directAt]) ?? '');
      return line.includes(' during recovery') && isRefused ? inOtherWords : null;
    },
  },
  {
    name: 'temporary schema',
    explains({ direct, proxied, directAt, proxiedAt }) {
      const said = [direct[directAt] ?? '', proxied[proxiedAt] ?? ''];
      const isMissing = said.some((line) => line.includes('M:schema "pg_temp" does not exist'));
      const isThere = said.some((line) => sqlstate(line) === '42P01');
      return isMissing && isThere ? inOtherWords : null;
    },
  },
  {
    name: 'DISCARD ALL among others',
    explains(fork) {
      const { script, proxied, proxiedAt } = fork;
      if (Object.keys(script.params).length === 0) return null;
      const isBack = /discard all/;
      const told = /^ParameterStatus (\w+)=/.exec(proxied[proxiedAt] ?? '')?.[1];
      if (told !== undefined && told in script.params && mentions(script, isBack)) {
        return { direct: 0, proxied: 1 };
      }
      // What stands behind it may do anything else by the server's defaults.
      return messagesAt(fork).some(({ sql }) => isBack.test(sql ?? '')) ? 'rest' : null;
    },
  },
  {
    name: 'server connection lost',
    explains({ direct, proxied, directAt, proxiedAt }) {
      const last = /^ErrorResponse S:FATAL .* M:(.*)$/.exec(direct[directAt] ?? '')?.[1];
      const said = proxied.find((line, at) => at >= proxiedAt && !line.startsWith('--- ')) ?? '';
      const isTold = sqlstate(said) === '08006' && said.includes(` D:The server said: ${last} `);
      return last !== undefined && isTold ? 'rest' : null;
    },
  },
  {
    name: 'wrong message during COPY',
    explains({ direct, proxied, directAt, proxiedAt }) {
      const wrong = / M:unexpected message type 0x\w+ during COPY from stdin /;
      const [first, only] = [direct[directAt] ?? '', proxied[proxiedAt] ?? ''];
      const isTold = first.startsWith('ErrorResponse S:ERROR') && wrong.test(first);
      return isTold && only.startsWith('ErrorResponse S:FATAL') && wrong.test(only) ? 'rest' : null;
    },
  },
  {
    name: 'UNLISTEN before PREPARE TRANSACTION',
    explains({ script, direct, proxied, directAt, proxiedAt }) {
      const isPrepared = direct[directAt] === 'CommandComplete PREPARE TRANSACTION';
      const isRefused = / M:cannot PREPARE a transaction that has executed LISTEN, UNLISTEN,/.test(
        proxied[proxiedAt] ?? '',
      );
      return isPrepared && isRefused && mentions(script, /\bunlisten\b/) ? 'rest' : null;
    },
  },
  {
    name: 'channels within a transaction',
    explains(fork) {
      const { script, direct, proxied, directAt, proxiedAt } = fork;
      const isAsked = messagesAt(fork).some(({ sql }) => /pg_listening_channels/.test(sql ?? ''));
      if (!isAsked || !mentions(script, /\blisten\b/)) return null;
      const status = direct.find((line, at) => at >= directAt && isReady(line))?.slice(-1);
      if (status === 'I' || proxied[proxiedAt] !== 'CommandComplete SELECT 0') return null;
      let at = directAt;
      while (/^DataRow "ch\d"$/.test(direct[at] ?? '')) at += 1;
      const rows = at - directAt;
      return direct[at] === `CommandComplete SELECT ${rows}` && rows > 0
        ? { direct: rows + 1, proxied: 1 }
        : null;
    },
  },
  {
    name: 'chain after a failure',
    explains({ script, direct, proxied, directAt, proxiedAt }) {
      const isChained = mentions(script, /and chain/) && isReadOnly(script);
      const shows = proxied[proxiedAt - 1]?.startsWith('RowDescription transaction_read_only ');
      const isShown = shows && direct[directAt] === 'DataRow "off"';
      if (isChained && isShown && proxied[proxiedAt] === 'DataRow "on"') return inOtherWords;
      return isChained && sqlstate(proxied[proxiedAt]) === '25006' ? 'rest' : null;
    },
  },
];
