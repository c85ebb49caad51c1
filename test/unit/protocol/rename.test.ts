import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { largeLengthMax } from '../../../src/protocol/frames.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { withStatementName } from '../../../src/protocol/rename.ts';

function renamed(frame: Buffer, name: string): Buffer {
  const chunk = Buffer.concat([Buffer.alloc(3), frame, Buffer.alloc(9)]);
  const { head, restOffset } = withStatementName(chunk, 3, 3 + frame.length, name);
  return Buffer.concat([head, chunk.subarray(restOffset, 3 + frame.length)]);
}

const builders: Readonly<Record<string, (name: string) => Buffer>> = {
  Parse: (name) => frontend.parse(name, 'select $1', [23]),
  Bind: (statement) => frontend.bind({ portal: 'p', statement, params: ['x'.repeat(200), null] }),
  Describe: (name) => frontend.describe(frontend.TargetKind.Statement, name),
  Close: (name) => frontend.close(frontend.TargetKind.Statement, name),
};

describe.each(Object.entries(builders))('withStatementName of %s', (_, build) => {
  it('gives the frame that would have been sent with the new name', () => {
    const names = fc
      .uint8Array({ maxLength: 40 })
      .map((bytes) => Buffer.from(bytes.filter((byte) => byte !== 0)).toString('latin1'));
    fc.assert(
      fc.property(names, names, (before, after) => {
        expect(renamed(build(before), after).equals(build(after))).toBe(true);
      }),
    );
  });

  it('works as soon as the name has arrived, and raises ProtocolError before', () => {
    const [before, after] = [build('old'), build('longer name')];
    let madeFrom = 0;
    for (let available = 5; available <= before.length; available++) {
      const arrived = Buffer.from(before.subarray(0, available));
      try {
        const { head, restOffset } = withStatementName(arrived, 0, available, 'longer name');
        const whole = Buffer.concat([head, before.subarray(restOffset)]);
        expect(whole.equals(after)).toBe(true);
        madeFrom ||= available;
      } catch (error) {
        expect(error).toBeInstanceOf(ProtocolError);
        expect(madeFrom).toBe(0);
      }
    }
    expect(madeFrom).toBe(before.indexOf('old') + 4);
  });
});

describe('withStatementName', () => {
  it('refuses frames that name no statement, and one that would become too long', () => {
    expect(() => withStatementName(frontend.sync, 0, 5, 'x')).toThrow(ProtocolError);
    const huge = Buffer.from(frontend.bind({ statement: 'a' }));
    huge.writeInt32BE(largeLengthMax, 1);
    expect(() => withStatementName(huge, 0, huge.length, 'ab')).toThrow('invalid message length');
  });
});
