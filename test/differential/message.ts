import { Frontend } from '../../src/protocol/codes.ts';
import {
  type BindOptions,
  bind,
  close,
  copyData,
  copyDone,
  copyFail,
  describe,
  execute,
  flush,
  parse,
  query,
  sync,
  TargetKind,
  terminate,
} from '../../src/protocol/frontend.ts';
import { message } from '../../src/protocol/writer.ts';

/** What a message is answered by: see `PendingReplies`. */
export type MessageKind =
  | 'query'
  | 'parse'
  | 'bind'
  | 'describe'
  | 'execute'
  | 'close'
  | 'sync'
  /** Sync that is read by the server while it copies, if it copies. */
  | 'early-sync'
  | 'flush'
  | 'call'
  | 'copy'
  | 'terminate';

export interface Message {
  readonly kind: MessageKind;
  /** As the hand-written scripts write it. */
  readonly shown: string;
  /** Of a Query or Parse. */
  readonly sql?: string;
  /** `database` takes the place of `{db}`, in names that the whole cluster shares. */
  bytes(database: string): Buffer;
}

const text = (value: string): string =>
  value.includes("'") ? JSON.stringify(value) : `'${value}'`;

const fixed = (kind: MessageKind, shown: string, bytes: Buffer): Message => ({
  kind,
  shown,
  bytes: () => bytes,
});

const inDatabase = (sql: string, database: string) => sql.replaceAll('{db}', database);

export const Q = (sql: string): Message => ({
  kind: 'query',
  sql,
  shown: `Q(${text(sql)})`,
  bytes: (database) => query(inDatabase(sql, database)),
});

export const P = (name: string, sql: string, types: readonly number[] = []): Message => ({
  kind: 'parse',
  sql,
  shown: `P(${text(name)}, ${text(sql)}${types.length > 0 ? `, [${types}]` : ''})`,
  bytes: (database) => parse(name, inDatabase(sql, database), types),
});

export const B = (statement = '', options: BindOptions = {}): Message => {
  const more = Object.keys(options).length > 0 ? `, ${JSON.stringify(options)}` : '';
  return fixed('bind', `B(${text(statement)}${more})`, bind({ statement, ...options }));
};

export const E = (portal = '', rows = 0): Message =>
  fixed('execute', `E(${text(portal)}, ${rows})`, execute(portal, rows));
export const DS = (name = ''): Message =>
  fixed('describe', `DS(${text(name)})`, describe(TargetKind.Statement, name));
export const DP = (name = ''): Message =>
  fixed('describe', `DP(${text(name)})`, describe(TargetKind.Portal, name));
export const CS = (name = ''): Message =>
  fixed('close', `CS(${text(name)})`, close(TargetKind.Statement, name));
export const CP = (name = ''): Message =>
  fixed('close', `CP(${text(name)})`, close(TargetKind.Portal, name));
export const S: Message = fixed('sync', 'S', sync);
export const earlyS: Message = fixed('early-sync', 'S', sync);
export const H: Message = fixed('flush', 'H', flush);
export const X: Message = fixed('terminate', 'terminate', terminate);
export const d = (data: string): Message =>
  fixed('copy', `d(${JSON.stringify(data)})`, copyData(Buffer.from(data)));
export const copyEnd: Message = fixed('copy', 'copyDone', copyDone);
export const copyGivenUp: Message = fixed('copy', "copyFail('no')", copyFail('no'));

/** FunctionCall: all arguments and the result in text. */
export const call = (oid: number, ...args: (string | null)[]): Message =>
  fixed(
    'call',
    `call(${oid}, ${args.map((arg) => JSON.stringify(arg)).join(', ')})`,
    message(Frontend.FunctionCall, (writer) => {
      writer.uint32(oid).uint16(0).uint16(args.length);
      for (const arg of args) {
        if (arg === null) writer.int32(-1);
        else writer.int32(Buffer.byteLength(arg)).text(arg);
      }
      writer.int16(0);
    }),
  );
