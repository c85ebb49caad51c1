import assert from 'node:assert';
import { ProxyError } from '../errors.ts';
import type { TextRow } from '../pool/ask.ts';
import type { ServerConnection } from '../pool/server-connection.ts';
import {
  isCustom,
  resetOfCustom,
  roleName,
  type Setting,
  Settings,
  settingFromSet,
  settingFromStartup,
} from '../pool/settings.ts';
import { TxStatus } from '../protocol/codes.ts';
import type { Effect, TransactionModes } from '../router/statement.ts';
import type { BackToBase } from './back-to-base.ts';
import { type ChannelChange, Channels } from './channels.ts';
import { Pins } from './pins.ts';
import { isProxySetting, type PolicyChange, parseReadSetting, textOfValue } from './read-policy.ts';
import type { ReadSettings, ReadSettingsMark } from './read-settings.ts';
import { SequenceHome } from './sequence-home.ts';
import { settingsWith } from './settings-review.ts';

/** No transaction has said anything about itself. */
const noModes: TransactionModes = { readOnly: null, isolation: null, deferrable: null };

/** Set with SET, but they belong to the transaction: the server forgets them by itself. */
const transactionSettings: ReadonlySet<string> = new Set([
  'transaction_read_only',
  'transaction_isolation',
  'transaction_deferrable',
]);

/**
 * Whether notifications for a session can come by way of another connection, which speaks UTF-8: what
 * a server converts for this one must be nothing else.
 */
function isSharable({ params }: ServerConnection): boolean {
  return params.get('client_encoding') === 'UTF8' && params.get('server_encoding') !== 'SQL_ASCII';
}

type SetEffect = Extract<Effect, { kind: 'set' }>;

/** What ROLLBACK TO goes back to. */
interface Savepoint {
  readonly name: string;
  readonly settings: Settings;
  /** Those of the server connection: SET LOCAL must outlive what a rollback undoes of them. */
  readonly serverSettings: Settings | null;
  readonly channels: number;
  readonly reads: ReadSettingsMark;
}

/**
 * What a session has made of itself: its settings, its transaction, and the reasons to keep its
 * server connection. Settings are transactional as PostgreSQL's are: a rolled-back SET is undone,
 * with savepoints.
 */
export class SessionState {
  /** From the startup packet: what RESET goes back to. */
  readonly base: Settings;
  /** As the client sees them now. */
  settings: Settings;
  /** The proxy's own settings, which servers do not hear of. */
  readonly reads: ReadSettings;
  /** Why the session keeps its server connection between transactions. */
  readonly pins = new Pins();
  /** What it listens to without a server connection of its own. */
  readonly channels = new Channels();
  readonly sequences = new SequenceHome();
  /** The transaction under way, or the last one, has notified somebody. */
  hasNotified = false;
  /** As the client was told in the last ReadyForQuery. */
  txStatus: number = TxStatus.Idle;
  /** Of the running transaction. */
  modes: TransactionModes = noModes;
  /** Code has run that may have set something: the server is to be asked. */
  areSettingsDoubtful = false;
  #committed: Settings;
  #savepoints: Savepoint[] = [];
  /** RESET, or DISCARD ALL, is part of the running request. */
  #wasReset = false;

  constructor(base: Settings, reads: ReadSettings) {
    this.base = base;
    this.reads = reads;
    this.settings = base;
    this.#committed = base;
  }

  /** RESET has brought this parameter back to what the startup packet asked for. */
  isBackAtBase(parameter: string): boolean {
    if (!this.#wasReset) return false;
    const name = parameter.toLowerCase();
    const initial = this.base.get(name);
    return initial !== undefined && this.settings.get(name)?.sql === initial.sql;
  }

  get inTransaction(): boolean {
    return this.txStatus !== TxStatus.Idle;
  }

  /** The transaction, or the next one, promises not to write. */
  get isReadOnly(): boolean {
    return this.modes.readOnly ?? this.settings.isReadOnly;
  }

  /**
   * Whether a statement, or the transaction that it `begins`, would be SERIALIZABLE: refused by a
   * server in recovery (0A000, GetSerializableTransactionSnapshot).
   */
  isSerializableWith(begins: TransactionModes | null): boolean {
    const isolation = begins?.isolation ?? this.modes.isolation;
    return isolation === null ? this.isSerializableByDefault : isolation === 'serializable';
  }

  get isSerializableByDefault(): boolean {
    return this.settings.isSerializable;
  }

  begin(modes: TransactionModes): void {
    this.modes = modes;
  }

  /** SET TRANSACTION: what it does not say stays. */
  setTransaction(modes: TransactionModes): void {
    this.modes = {
      readOnly: modes.readOnly ?? this.modes.readOnly,
      isolation: modes.isolation ?? this.modes.isolation,
      deferrable: modes.deferrable ?? this.modes.deferrable,
    };
  }

  /** A statement with this effect completed on `server`; `tag` reads its CommandComplete. */
  apply(effect: Effect, server: ServerConnection, tag: () => string): void {
    switch (effect.kind) {
      case 'set':
        if (isProxySetting(effect.name)) {
          this.#setRead(effect, server);
        } else if (!effect.local && !transactionSettings.has(effect.name)) {
          this.#set(effect.name, this.#settingOf(effect), server);
        }
        return;
      case 'reset':
        if (isProxySetting(effect.name)) this.reads.reset(effect.name, effect.local);
        if (!effect.local) this.#reset(effect.name, server);
        return;
      case 'reset-all':
        this.#resetAll(server, true);
        return;
      case 'begin':
        this.begin(effect);
        return;
      case 'set-transaction':
        this.setTransaction(effect);
        return;
      case 'commit':
      case 'prepare-transaction':
        // COMMIT of a failed transaction completes as ROLLBACK.
        this.#end(server, tag() !== 'ROLLBACK', effect.kind === 'commit' && effect.chain);
        return;
      case 'rollback':
        this.#end(server, false, effect.chain);
        return;
      case 'savepoint':
        this.#save(effect.name, server);
        return;
      case 'release':
        this.#release(effect.name);
        return;
      case 'rollback-to':
        this.#rolledBackTo(effect.name, server);
        return;
      case 'discard':
        if (effect.what === 'all') this.#discardAll(server);
        else if (effect.what === 'temp') this.pins.mayHaveGone();
        else if (effect.what === 'sequences') this.sequences.forget();
        return;
      case 'several':
        for (const one of effect.effects) this.apply(one, server, tag);
        return;
      default:
        this.#applyToConnection(effect, server);
    }
  }

  /** What is neither a setting nor the transaction's: it may tie the session to the connection. */
  #applyToConnection(effect: Effect, server: ServerConnection): void {
    switch (effect.kind) {
      case 'pin':
        this.pins.add(effect.reason);
        return;
      case 'review':
        this.#review(effect.ran, server);
        return;
      case 'listen':
      case 'unlisten':
        this.#listen(effect, server);
        return;
      case 'set-unknown':
        this.pins.addUnknownSetting(effect.name);
        return;
      case 'notify':
        this.hasNotified = true;
        return;
    }
  }

  /**
   * A statement with this effect failed. What it did is rolled back, but for what is no part of a
   * transaction: locks of the session, what SQL PREPARE has made, what functions keep in the server,
   * and what blocks of code have committed.
   */
  failed(effect: Effect, server: ServerConnection): void {
    switch (effect.kind) {
      case 'several':
        for (const one of effect.effects) this.failed(one, server);
        return;
      case 'pin':
        // Of this the server cannot be asked.
        if (effect.reason === 'session-function') this.pins.add(effect.reason);
        else this.pins.mayHaveCome();
        return;
      case 'review':
        if (effect.ran !== null) this.#review(effect.ran, server);
        return;
      case 'prepare':
        this.pins.mayHaveCome();
    }
  }

  /** A function that nobody has looked at has been called by a FunctionCall, and may have failed. */
  called(server: ServerConnection): void {
    this.#review('function', server);
  }

  /** The server has told the values of settings that it was given by a statement nobody could read. */
  learn(values: ReadonlyMap<string, string | null>, server: ServerConnection): void {
    for (const [name, value] of values) {
      const setting = value === null ? undefined : settingFromStartup(name, value);
      const change = (settings: Settings) =>
        setting === undefined ? settings.without(name) : settings.with(name, setting);
      this.settings = change(this.settings);
      if (server.settings !== null) server.settings = change(server.settings);
    }
    this.#committed = this.settings;
  }

  /** Behind a RESET, in the same request, the server was given what the startup packet asked for. */
  broughtBack({ settings, local }: BackToBase, server: ServerConnection): void {
    if (local) return;
    let known = server.settings;
    for (const [name, setting] of settings) known = known?.with(name, setting) ?? null;
    this.#change(server, known);
  }

  /** ReadyForQuery came: `failed` says that an ErrorResponse came before it. */
  ready(status: number, failed: boolean, server: ServerConnection | null): void {
    this.txStatus = status;
    this.#wasReset = false;
    if (status !== TxStatus.Idle) return;
    if (failed) this.#rolledBack(server, false);
    else this.#settle(server);
  }

  /** The transaction ended without a server: it never reached one, or the server is gone. */
  endWithoutServer(committed: boolean): void {
    this.txStatus = TxStatus.Idle;
    if (committed) this.#settle(null);
    else this.#rolledBack(null, false);
  }

  /** SET of one of the proxy's own settings, answered by the proxy. */
  setOwn(change: PolicyChange, local: boolean): void {
    this.reads.set(change, local);
    if (!this.inTransaction) this.reads.committed();
  }

  /** RESET of the same. */
  resetOwn(name: string, local: boolean): void {
    this.reads.reset(name, local);
    if (!this.inTransaction) this.reads.committed();
  }

  /** What its server has said it has set; null: it did not say. Between transactions. */
  settleSettings(rows: readonly TextRow[] | null, server: ServerConnection): void {
    this.areSettingsDoubtful = false;
    // What RESET goes back to the session has in any case, the server only if it says so.
    server.settings = rows === null ? null : settingsWith(this.settings, Settings.none, rows);
    if (rows !== null) this.settings = settingsWith(this.settings, this.base, rows);
    if (this.settings.equals(server.settings)) server.settings = this.settings;
    this.#committed = this.settings;
  }

  /** What has run may have left anything on the server connection, and set anything. */
  #review(ran: 'function' | 'block' | null, server: ServerConnection): void {
    if (ran === null) {
      this.pins.mayHaveGone();
      return;
    }
    this.pins.mayHaveCome();
    // To ask takes a server a millisecond: too long for every call of a function. Others must not
    // get what it has set.
    if (ran === 'block') this.areSettingsDoubtful = true;
    else server.ranCode = true;
  }

  /** AND CHAIN starts the next transaction with the modes of the one that ended. */
  #end(server: ServerConnection, committed: boolean, chain: boolean): void {
    const { modes } = this;
    if (committed) this.#settle(server);
    else this.#rolledBack(server, this.inTransaction);
    if (chain) this.modes = modes;
  }

  #settingOf({ name, value }: SetEffect): Setting {
    return settingFromSet(name, value, this.settings.get(name));
  }

  #set(name: string, setting: Setting, server: ServerConnection): void {
    this.settings = this.settings.with(name, setting);
    this.#change(server, server.settings?.with(name, setting) ?? null);
  }

  /** It stood among other statements: the server has it too, and is rid of it with the next settings. */
  #setRead({ name, value, local }: SetEffect, server: ServerConnection): void {
    const change = parseReadSetting(name, textOfValue(value));
    assert(!(change instanceof ProxyError), 'checked before it was sent');
    this.reads.set(change, local);
    if (local) return;
    this.#change(server, server.settings?.with(name, settingFromSet(name, value)) ?? null);
  }

  #reset(name: string, server: ServerConnection): void {
    const initial = this.base.get(name);
    this.#wasReset = true;
    if (initial !== undefined) {
      this.settings = this.settings.with(name, initial);
      this.#change(server, server.settings?.without(name) ?? null);
      return;
    }
    const made = this.settings.get(name);
    if (made !== undefined && isCustom(name)) {
      this.#set(name, resetOfCustom(name, made), server);
      return;
    }
    this.settings = this.settings.without(name);
    this.#change(server, server.settings?.without(name) ?? null);
  }

  #resetAll(server: ServerConnection, keepRole: boolean): void {
    const role = keepRole ? this.settings.get(roleName) : undefined;
    this.#wasReset = true;
    this.reads.resetAll();
    this.settings = role === undefined ? this.base : this.base.with(roleName, role);
    this.#change(server, role === undefined ? Settings.none : Settings.of([[roleName, role]]));
  }

  #discardAll(server: ServerConnection): void {
    this.#resetAll(server, false);
    this.pins.discard();
    this.sequences.forget();
    this.channels.clear();
    server.prepared.clear();
    server.listens = false;
    // It commits at once, whatever comes behind it in its batch (XACT_FLAGS_NEEDIMMEDIATECOMMIT).
    this.#settle(server);
  }

  /** One object for equal settings makes the comparison before each request a pointer's. */
  #change(server: ServerConnection, settings: Settings | null): void {
    server.changeSettings(this.settings.equals(settings) ? this.settings : settings);
  }

  #settle(server: ServerConnection | null): void {
    this.#committed = this.settings;
    this.reads.committed();
    this.channels.committed();
    server?.committed();
    this.#endTransaction();
  }

  #rolledBack(server: ServerConnection | null, wasBlock: boolean): void {
    this.settings = this.#committed;
    this.reads.rolledBack();
    this.channels.rolledBack();
    this.pins.mayHaveGone();
    this.hasNotified = false;
    server?.rolledBack(wasBlock);
    this.#endTransaction();
  }

  #endTransaction(): void {
    this.modes = noModes;
    if (this.#savepoints.length > 0) this.#savepoints = [];
  }

  /** The server listens as well, until the session is done with it. */
  #listen(change: ChannelChange, server: ServerConnection): void {
    server.listens = true;
    if (isSharable(server)) this.channels.note(change);
    else if (change.kind === 'listen') this.pins.add('listen');
    else this.pins.mayHaveGone();
  }

  #save(name: string, server: ServerConnection): void {
    this.#savepoints.push({
      name,
      settings: this.settings,
      serverSettings: server.settings,
      channels: this.channels.mark(),
      reads: this.reads.mark(),
    });
  }

  #release(name: string): void {
    const index = this.#savepointIndex(name);
    if (index >= 0) this.#savepoints.length = index;
  }

  #savepointIndex(name: string): number {
    return this.#savepoints.findLastIndex((savepoint) => savepoint.name === name);
  }

  #rolledBackTo(name: string, server: ServerConnection): void {
    const index = this.#savepointIndex(name);
    const savepoint = this.#savepoints[index];
    if (savepoint === undefined) return;
    this.#savepoints.length = index + 1;
    this.settings = savepoint.settings;
    this.reads.goBackTo(savepoint.reads);
    this.channels.goBackTo(savepoint.channels);
    this.pins.mayHaveGone();
    if (server.settings !== savepoint.serverSettings) {
      server.changeSettings(savepoint.serverSettings);
    }
  }
}
