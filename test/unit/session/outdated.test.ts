import { expect, it } from 'vitest';
import { PreparedText } from '../../../src/pool/prepared.ts';
import { prepareAsBefore } from '../../../src/session/outdated.ts';
import { fakeServer } from '../pool/fake-server.ts';

it('a statement that is prepared anew on a connection that closes has not changed', () => {
  const { connection } = fakeServer();
  const text = new PreparedText('s1', Buffer.from('select 1\0\0\0'));
  text.description = { parameters: [], result: 'as it was' };
  const refusals: (Buffer | null)[] = [];
  prepareAsBefore(connection, { text, index: 0, isDescribed: false }, (refusal) =>
    refusals.push(refusal),
  );
  connection.close('server-closed');
  expect(refusals).toEqual([null]);
});
