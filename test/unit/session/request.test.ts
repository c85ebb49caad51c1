import { describe, expect, it } from 'vitest';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import {
  bind,
  describe as describeMessage,
  parse,
  TargetKind,
} from '../../../src/protocol/frontend.ts';
import type { Classified } from '../../../src/router/statement.ts';
import { Request } from '../../../src/session/request.ts';
import { ClientStatements } from '../../../src/session/statements.ts';

const read: Classified = {
  access: 'read',
  reason: null,
  statements: [],
  hasEffects: false,
  hint: null,
  key: 'select',
};

function flushed(...messages: readonly Buffer[]): Request {
  const statements = new ClientStatements(new PreparedTexts());
  const request = new Request();
  request.reset();
  for (const message of messages) {
    request.takeExtended(message[0]!, message, 0, message.length, statements, () => read);
  }
  request.finish('flush');
  return request;
}

describe('a batch that was flushed before its end', () => {
  const prepare = parse('s', 'select 1');
  const ask = describeMessage(TargetKind.Statement, 's');

  it('may be prepared anywhere', () => {
    expect(flushed(prepare, ask)).toMatchObject({ access: 'read', reason: null });
  });

  it('stays where its portal was made, so that is on the primary', () => {
    const request = flushed(prepare, bind({ statement: 's' }));
    expect(request).toMatchObject({ access: 'write', reason: 'batch-undecided' });
  });
});
