import {
  bindComplete,
  closeComplete,
  commandComplete,
  errorResponse,
  noData,
  parseComplete,
  readyForQueryIdle,
} from '../../../src/protocol/backend.ts';
import { Frontend } from '../../../src/protocol/codes.ts';
import {
  BindFields,
  ExecuteFields,
  ParseFields,
  TargetFields,
} from '../../../src/protocol/fields.ts';
import { anyLengthMax, FrameScanner, Scan } from '../../../src/protocol/frames.ts';
import { TargetKind } from '../../../src/protocol/frontend.ts';
import { parameterDescription } from '../pool/fake-server.ts';

/** A text that the server refuses to parse, and one that fails when it runs. */
export const unparsableText = 'select bad';
export const failingText = 'FAIL';

/**
 * What a backend makes of extended messages outside of transactions, as simply as can be
 * (postgres.c). Execute answers with the text as its tag, so that it shows what was executed.
 */
export class ExtendedModel {
  readonly statements = new Map<string, string>();
  /** All texts that were parsed. */
  readonly parsed: string[] = [];
  #portals = new Map<string, string>();
  #isSkipping = false;

  /** Whole messages in, replies out. */
  answer(bytes: Buffer): Buffer {
    const scanner = new FrameScanner({
      lengthMax: anyLengthMax,
      assembledBytesMax: 1 << 20,
      headBytesMin: 6,
    });
    scanner.feed(bytes);
    const replies: Buffer[] = [];
    while (scanner.next() === Scan.Frame) {
      const { type, buffer, start, end } = scanner;
      if (type === Frontend.Sync) {
        this.#isSkipping = false;
        this.#portals.clear();
        replies.push(readyForQueryIdle);
      } else if (!this.#isSkipping) {
        replies.push(...this.#one(type, buffer, start, end));
      }
    }
    if (!scanner.atBoundary) throw new Error('the proxy sent half a message');
    return Buffer.concat(replies);
  }

  #fail(sqlstate: string, message: string): Buffer[] {
    this.#isSkipping = true;
    return [errorResponse({ severity: 'ERROR', sqlstate, message })];
  }

  #missing(name: string): Buffer[] {
    const message =
      name === ''
        ? 'unnamed prepared statement does not exist'
        : `prepared statement "${name}" does not exist`;
    return this.#fail('26000', message);
  }

  #one(type: number, buffer: Buffer, start: number, end: number): Buffer[] {
    switch (type) {
      case Frontend.Parse: {
        const { statement, queryStart, queryEnd } = new ParseFields().read(buffer, start, end);
        const text = buffer.toString('latin1', queryStart, queryEnd);
        if (statement === '') this.statements.delete('');
        if (text === unparsableText) return this.#fail('42601', 'syntax error');
        if (this.statements.has(statement)) {
          return this.#fail('42P05', `prepared statement "${statement}" already exists`);
        }
        this.parsed.push(text);
        this.statements.set(statement, text);
        return [parseComplete];
      }
      case Frontend.Bind: {
        const { portal, statement } = new BindFields().read(buffer, start, end);
        const text = this.statements.get(statement);
        if (text === undefined) return this.#missing(statement);
        this.#portals.set(portal, text);
        return [bindComplete];
      }
      case Frontend.Describe: {
        const { kind, name } = new TargetFields().read(buffer, start, end);
        if (kind === TargetKind.Portal) return [noData];
        if (!this.statements.has(name)) return this.#missing(name);
        return [parameterDescription, noData];
      }
      case Frontend.Execute: {
        const { portal } = new ExecuteFields().read(buffer, start, end);
        const text = this.#portals.get(portal);
        if (text === undefined) return this.#fail('34000', `portal "${portal}" does not exist`);
        if (text === failingText) return this.#fail('22012', 'division by zero');
        return [commandComplete(text)];
      }
      case Frontend.Close: {
        const { kind, name } = new TargetFields().read(buffer, start, end);
        if (kind === TargetKind.Statement) this.statements.delete(name);
        else this.#portals.delete(name);
        return [closeComplete];
      }
      case Frontend.Query:
        this.statements.delete('');
        this.#portals.clear();
        return [commandComplete('QUERY'), readyForQueryIdle];
      default:
        return [];
    }
  }
}
