import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Settings, settingFromStartup } from '../../../src/pool/settings.ts';
import { TxStatus } from '../../../src/protocol/codes.ts';
import type { Effect, TransactionModes } from '../../../src/router/statement.ts';
import { SessionState } from '../../../src/session/session-state.ts';
import { fakeServer } from '../pool/fake-server.ts';
import { GucModel } from './guc-model.ts';
import { readSettings } from './policies.ts';

const { Idle, InTransaction, Failed } = TxStatus;
const noModes: TransactionModes = { readOnly: null, isolation: null, deferrable: null };
const set = (name: string, value: string, local = false): Effect => ({
  kind: 'set',
  name,
  value: `'${value}'`,
  local,
});

function session(base = Settings.none, params: ReadonlyMap<string, string> = new Map()) {
  const { connection } = fakeServer();
  for (const [name, value] of params) connection.params.set(name, value);
  connection.settings = base;
  const state = new SessionState(base, readSettings());
  const run = (effect: Effect, status: number = Idle, tag = '') => {
    state.apply(effect, connection, () => tag);
    state.ready(status, false, connection);
  };
  const fail = (status: number) => state.ready(status, true, connection);
  const value = (name: string) => state.settings.get(name)?.value;
  return { state, connection, run, fail, value };
}

const base = Settings.of([['a', settingFromStartup('a', 'start')]]);

describe('settings', () => {
  it('stay when set outside a transaction, on client and server alike', () => {
    const { run, value, state, connection } = session();
    run(set('a', '1'));
    expect(value('a')).toBe('1');
    expect(connection.settings).toBe(state.settings);
  });

  it('go back to the startup packet with RESET, RESET ALL and DISCARD ALL', () => {
    for (const effect of [
      { kind: 'reset', name: 'a', local: false },
      { kind: 'reset-all' },
      { kind: 'discard', what: 'all' },
    ] as const) {
      const { run, value, state } = session(base);
      run(set('a', '1'));
      run(effect);
      expect(value('a')).toBe('start');
      expect(state.settings.key).toBe(base.key);
    }
  });

  it('forget a role with DISCARD ALL, not with RESET ALL', () => {
    const { run, value } = session();
    run(set('role', 'other'));
    run({ kind: 'reset-all' });
    expect(value('role')).toBe('other');
    run({ kind: 'discard', what: 'all' });
    expect(value('role')).toBeUndefined();
  });

  it('of a failed implicit transaction are undone', () => {
    const { state, connection, fail, value } = session();
    state.apply(set('a', '1'), connection, () => 'SET');
    expect(value('a')).toBe('1');
    fail(Idle);
    expect(value('a')).toBeUndefined();
    expect(connection.settings).toBeNull();
  });

  it('are undone by a COMMIT that is answered with ROLLBACK', () => {
    const { run, fail, value } = session();
    run({ kind: 'begin', ...noModes }, InTransaction);
    run(set('a', '1'), InTransaction);
    fail(Failed);
    expect(value('a')).toBe('1');
    run({ kind: 'commit', chain: false }, Idle, 'ROLLBACK');
    expect(value('a')).toBeUndefined();
  });

  it("SET LOCAL and transaction_* are not the session's", () => {
    const { run, state } = session();
    run({ kind: 'begin', ...noModes }, InTransaction);
    run(set('a', '1', true), InTransaction);
    run(set('transaction_read_only', 'on'), InTransaction);
    run({ kind: 'reset', name: 'a', local: true }, InTransaction);
    expect(state.settings).toBe(Settings.none);
  });

  it('survive the loss of a transaction without a server as they were before it', () => {
    const { run, state, value } = session();
    run(set('a', '1'));
    run({ kind: 'begin', ...noModes, readOnly: true }, InTransaction);
    run(set('a', '2'), InTransaction);
    state.endWithoutServer(false);
    expect(value('a')).toBe('1');
    expect(state.inTransaction).toBe(false);
    expect(state.isReadOnly).toBe(false);
  });
});

describe("the proxy's own settings", () => {
  const consistency = (state: SessionState) => state.reads.current.consistency;
  const strong = set('tidemark.consistency', 'strong');

  it('among other statements are taken over, and the server is rid of them', () => {
    const { run, state, connection } = session();
    run(strong);
    expect(consistency(state)).toBe('strong');
    expect(state.settings).toBe(Settings.none);
    expect(state.settings.differenceFrom(connection.settings)).toBe(
      'RESET "tidemark"."consistency"',
    );
    run({ kind: 'reset', name: 'tidemark.consistency', local: false });
    expect(consistency(state)).toBe('session');
    expect(connection.settings).toBe(Settings.none);
  });

  it('have the session’s transactions and savepoints', () => {
    const { run, state } = session();
    run({ kind: 'begin', ...noModes }, InTransaction);
    run(set('tidemark.consistency', 'bounded', true), InTransaction);
    run({ kind: 'savepoint', name: 's' }, InTransaction);
    run(strong, InTransaction);
    expect(consistency(state)).toBe('strong');
    run({ kind: 'rollback-to', name: 's' }, InTransaction);
    expect(consistency(state)).toBe('bounded');
    run({ kind: 'commit', chain: false }, Idle, 'COMMIT');
    expect(consistency(state)).toBe('session');
    run(strong);
    run({ kind: 'discard', what: 'all' });
    expect(consistency(state)).toBe('session');
  });

  it('answered by the proxy stay outside a transaction, and go with one', () => {
    const { state } = session();
    state.setOwn({ consistency: 'strong' }, false);
    state.endWithoutServer(false);
    expect(consistency(state)).toBe('strong');
    state.txStatus = InTransaction;
    state.resetOwn('tidemark.consistency', false);
    expect(consistency(state)).toBe('session');
    state.endWithoutServer(false);
    expect(consistency(state)).toBe('strong');
    state.txStatus = InTransaction;
    state.setOwn({ consistency: 'global' }, false);
    state.endWithoutServer(true);
    expect(consistency(state)).toBe('global');
  });
});

describe('savepoints', () => {
  it('take back what was set behind them, by the newest of a name', () => {
    const { run, value } = session();
    run({ kind: 'begin', ...noModes }, InTransaction);
    run(set('a', '1'), InTransaction);
    run({ kind: 'savepoint', name: 's' }, InTransaction);
    run(set('a', '2'), InTransaction);
    run({ kind: 'savepoint', name: 's' }, InTransaction);
    run(set('a', '3'), InTransaction);
    run({ kind: 'rollback-to', name: 's' }, InTransaction);
    expect(value('a')).toBe('2');
    run({ kind: 'release', name: 's' }, InTransaction);
    run({ kind: 'rollback-to', name: 's' }, InTransaction);
    expect(value('a')).toBe('1');
  });

  it('are not lost to one that nobody followed', () => {
    const { run, value } = session();
    run({ kind: 'begin', ...noModes }, InTransaction);
    run({ kind: 'savepoint', name: 's' }, InTransaction);
    run(set('a', '1'), InTransaction);
    run({ kind: 'release', name: 'from a text too long to read' }, InTransaction);
    run({ kind: 'rollback-to', name: 's' }, InTransaction);
    expect(value('a')).toBeUndefined();
  });

  it('leave the settings of the server known', () => {
    const { run, connection, state } = session();
    run({ kind: 'begin', ...noModes }, InTransaction);
    run({ kind: 'savepoint', name: 's' }, InTransaction);
    run(set('a', '1'), InTransaction);
    run({ kind: 'rollback-to', name: 's' }, InTransaction);
    expect(connection.settings).toBe(state.settings);
  });
});

describe('transaction modes', () => {
  const readOnly: TransactionModes = { ...noModes, readOnly: true };

  it('come from BEGIN, SET TRANSACTION and the default, and end with the transaction', () => {
    const { run, state } = session();
    run({ kind: 'begin', ...readOnly }, InTransaction);
    expect(state.isReadOnly).toBe(true);
    run({ kind: 'set-transaction', ...noModes, isolation: 'serializable' }, InTransaction);
    expect(state.isReadOnly).toBe(true);
    expect(state.isSerializableWith(null)).toBe(true);
    run({ kind: 'commit', chain: false }, Idle, 'COMMIT');
    expect(state.isReadOnly).toBe(false);
    expect(state.isSerializableWith(null)).toBe(false);
    run(set('default_transaction_read_only', 'ON'));
    run(set('default_transaction_isolation', 'SERIALIZABLE'));
    expect(state.isReadOnly).toBe(true);
    expect(state.isSerializableWith(null)).toBe(true);
    expect(state.isSerializableWith({ ...noModes, isolation: 'read committed' })).toBe(false);
    run({ kind: 'begin', ...noModes, readOnly: false }, InTransaction);
    expect(state.isReadOnly).toBe(false);
  });

  it('go on with AND CHAIN', () => {
    for (const kind of ['commit', 'rollback'] as const) {
      const { run, state } = session();
      run({ kind: 'begin', ...readOnly }, InTransaction);
      run({ kind, chain: true }, InTransaction, kind.toUpperCase());
      expect(state.isReadOnly).toBe(true);
      run({ kind, chain: false }, Idle, kind.toUpperCase());
      expect(state.isReadOnly).toBe(false);
    }
  });
});

describe('pins', () => {
  const pin = (reason: 'load' | 'temp-table'): Effect => ({ kind: 'pin', reason });
  const begin: Effect = { kind: 'begin', ...noModes };

  it('are doubtful when a transaction that may have brought them is rolled back', () => {
    const { run, state } = session();
    run(begin, InTransaction);
    run(pin('temp-table'), InTransaction);
    expect(state.pins.areDoubtful).toBe(false);
    run({ kind: 'rollback', chain: false }, Idle, 'ROLLBACK');
    expect(state.pins.areDoubtful).toBe(true);
    expect(state.pins.reasons).toEqual(['temp-table']);
  });

  it('are doubtful when a statement may have taken one away', () => {
    for (const effect of [
      { kind: 'discard', what: 'temp' },
      { kind: 'review', ran: null },
    ] as const) {
      const { run, state } = session();
      run(effect);
      expect(state.pins.areDoubtful, 'nothing to take away').toBe(false);
      run(pin('temp-table'));
      run({ kind: 'discard', what: 'plans' });
      expect(state.pins.areDoubtful).toBe(false);
      run(effect);
      expect(state.pins.areDoubtful).toBe(true);
    }
  });

  it('go with DISCARD ALL, but for libraries', () => {
    const { run, state } = session();
    run({ kind: 'several', effects: [pin('load'), pin('temp-table'), set('a', '1')] });
    expect(state.pins.size).toBe(2);
    run({ kind: 'discard', what: 'all' });
    expect(state.pins.reasons).toEqual(['load']);
  });
});

describe('what failed', () => {
  const doubts = (effect: Effect) => {
    const { state, connection, fail } = session();
    state.failed(effect, connection);
    fail(Idle);
    return { pins: state.pins.areDoubtful, settings: state.areSettingsDoubtful };
  };

  it('may have left what is no part of a transaction', () => {
    const lock: Effect = { kind: 'pin', reason: 'advisory-lock' };
    expect(doubts(lock)).toEqual({ pins: true, settings: false });
    expect(doubts({ kind: 'several', effects: [lock] })).toEqual({ pins: true, settings: false });
    expect(doubts({ kind: 'review', ran: 'function' })).toEqual({ pins: true, settings: false });
    expect(doubts({ kind: 'review', ran: 'block' })).toEqual({ pins: true, settings: true });
  });

  it('has left nothing that is', () => {
    for (const effect of [
      set('a', '1'),
      { kind: 'listen', channel: 'c' },
      { kind: 'review', ran: null },
      { kind: 'commit', chain: false },
    ] as const) {
      expect(doubts(effect)).toEqual({ pins: false, settings: false });
    }
  });

  it('keeps its server connection where nobody can be asked', () => {
    const { state, connection } = session();
    state.failed({ kind: 'pin', reason: 'session-function' }, connection);
    expect(state.pins.reasons).toEqual(['session-function']);
  });
});

describe('channels', () => {
  const listen = (channel: string): Effect => ({ kind: 'listen', channel });
  const begin: Effect = { kind: 'begin', ...noModes };
  const utf8 = new Map([
    ['client_encoding', 'UTF8'],
    ['server_encoding', 'UTF8'],
  ]);

  it('are listened to from COMMIT on, and not after a rollback', () => {
    const { run, state } = session(Settings.none, utf8);
    run(listen('a'));
    expect(state.channels.take()).toEqual({ come: ['a'], gone: [] });
    run(begin, InTransaction);
    run(listen('b'), InTransaction);
    run({ kind: 'unlisten', channel: 'a' }, InTransaction);
    run({ kind: 'savepoint', name: 's' }, InTransaction);
    run({ kind: 'unlisten', channel: null }, InTransaction);
    run({ kind: 'rollback-to', name: 's' }, InTransaction);
    expect(state.channels.take()).toEqual({ come: [], gone: [] });
    run({ kind: 'commit', chain: false }, Idle, 'COMMIT');
    expect(state.channels.take()).toEqual({ come: ['b'], gone: ['a'] });
    run(begin, InTransaction);
    run(listen('c'), InTransaction);
    run({ kind: 'rollback', chain: false }, Idle, 'ROLLBACK');
    expect(state.channels.areChanging).toBe(false);
    expect(state.pins.size).toBe(0);
  });

  it('keep the server connection of a client that does not speak UTF-8', () => {
    const { run, state } = session(
      Settings.none,
      new Map([...utf8, ['client_encoding', 'LATIN1']]),
    );
    run(listen('a'));
    expect(state.channels.areChanging).toBe(false);
    expect(state.pins.reasons).toEqual(['listen']);
  });
});

describe('what a server says it has set', () => {
  const base = Settings.of([['a', settingFromStartup('a', 'start')]]);

  it('is all that it has, also where the session has more from its startup packet', () => {
    const { connection } = fakeServer();
    const state = new SessionState(base, readSettings());
    connection.settings = base;
    state.apply({ kind: 'discard', what: 'all' }, connection, () => 'DISCARD ALL');
    state.failed({ kind: 'review', ran: 'block' }, connection);
    state.settleSettings([['role', 'none']], connection);
    expect(state.settings.equals(base)).toBe(true);
    expect(connection.settings).toBe(Settings.none);
  });

  it('is what both have where nothing was reset', () => {
    const { connection } = fakeServer();
    const state = new SessionState(base, readSettings());
    state.settleSettings(
      [
        ['a', 'start'],
        ['b', '2'],
        ['role', 'none'],
      ],
      connection,
    );
    expect([...state.settings.names]).toEqual(['a', 'b']);
    expect(connection.settings?.equals(state.settings)).toBe(true);
  });
});

describe('against a model of the server', () => {
  /** One statement: its text for the model, and its effect for the session. */
  interface Statement {
    readonly sql: string;
    readonly effect: Effect | null;
  }
  const names = fc.constantFrom('a', 'b', 'role');
  const values = fc.constantFrom('1', '2', '3');
  const savepoints = fc.constantFrom('s', 't');
  const chain = fc.boolean();
  const statement: fc.Arbitrary<Statement> = fc.oneof(
    fc.tuple(names, values, fc.boolean()).map(([name, value, local]) => ({
      sql: `SET ${local ? 'LOCAL ' : ''}"${name}" TO '${value}'`,
      effect: set(name, value, local),
    })),
    names.map((name) => ({
      sql: `RESET "${name}"`,
      effect: { kind: 'reset', name, local: false } as const,
    })),
    savepoints.map((name) => ({
      sql: `SAVEPOINT ${name}`,
      effect: { kind: 'savepoint', name } as const,
    })),
    savepoints.map((name) => ({
      sql: `ROLLBACK TO ${name}`,
      effect: { kind: 'rollback-to', name } as const,
    })),
    savepoints.map((name) => ({
      sql: `RELEASE ${name}`,
      effect: { kind: 'release', name } as const,
    })),
    chain.map((chain) => ({
      sql: chain ? 'COMMIT AND CHAIN' : 'COMMIT',
      effect: { kind: 'commit', chain } as const,
    })),
    chain.map((chain) => ({
      sql: chain ? 'ROLLBACK AND CHAIN' : 'ROLLBACK',
      effect: { kind: 'rollback', chain } as const,
    })),
    fc.constantFrom<Statement>(
      { sql: 'BEGIN', effect: { kind: 'begin', ...noModes } },
      { sql: 'BEGIN', effect: { kind: 'begin', ...noModes } },
      { sql: 'RESET ALL', effect: { kind: 'reset-all' } },
      { sql: 'DISCARD ALL', effect: { kind: 'discard', what: 'all' } },
      { sql: 'SELECT', effect: null },
      { sql: 'ERROR', effect: null },
    ),
  );
  // Several in one Query: without transaction control, whose rules for implicit blocks are special.
  const plain = statement.filter(({ sql }) => /^(SET|ERROR|SELECT)/.test(sql));
  // But for one that implicit blocks do not take.
  const chains = statement.filter(({ sql }) => sql.endsWith('AND CHAIN'));
  const request = fc.record({
    statements: fc.oneof(
      { weight: 6, arbitrary: fc.tuple(statement) },
      { weight: 1, arbitrary: fc.array(plain, { minLength: 2, maxLength: 3 }) },
      { weight: 1, arbitrary: fc.tuple(chains, plain) },
    ),
    server: fc.nat(1),
  });
  const statuses = { idle: Idle, transaction: InTransaction, failed: Failed } as const;

  it('every statement sees the settings that it would see on a connection of its own', () => {
    fc.assert(
      fc.property(
        fc.subarray(['a', 'role']),
        fc.array(request, { maxLength: 30 }),
        (started, requests) => {
          const startup = started.map((name) => [name, 'start'] as const);
          const direct = new GucModel(new Map(startup));
          const backends = [0, 1].map(() => ({
            model: new GucModel(new Map()),
            connection: fakeServer().connection,
          }));
          const initial = Settings.of(
            startup.map(([name, value]) => [name, settingFromStartup(name, value)] as const),
          );
          const state = new SessionState(initial, readSettings());
          let at = 0;
          for (const { statements, server } of requests) {
            if (state.txStatus === Idle) at = server;
            const { model, connection } = backends[at]!;
            // As the runner does in front of every request.
            if (connection.settings !== state.settings && connection.txStatus !== Failed) {
              const inTransaction = connection.txStatus === InTransaction;
              const sql = state.settings.differenceFrom(connection.settings, inTransaction);
              if (inTransaction) connection.changeSettings(state.settings);
              else connection.settings = state.settings;
              if (sql !== '') expect(model.query(sql.split('; '))).not.toContain(null);
            }
            if (direct.status !== 'failed') expect(model.values).toEqual(direct.values);
            const texts = statements.map(({ sql }) => sql);
            const tags = model.query(texts);
            expect(tags).toEqual(direct.query(texts));
            for (const [index, tag] of tags.entries()) {
              const effect = statements[index]!.effect;
              if (tag !== null && effect !== null) state.apply(effect, connection, () => tag);
            }
            connection.txStatus = statuses[model.status];
            state.ready(connection.txStatus, tags.includes(null), connection);
          }
        },
      ),
      { numRuns: 3000 },
    );
  });
});
