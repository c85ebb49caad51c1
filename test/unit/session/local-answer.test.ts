import { describe, expect, it } from 'vitest';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import { dataRow, readyForQueryIdle } from '../../../src/protocol/backend.ts';
import { TxStatus } from '../../../src/protocol/codes.ts';
import { FrameScanner, frontendLengthMax, Scan } from '../../../src/protocol/frames.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import {
  answerBatch,
  answerQuery,
  commandAnswer,
  type LocalAnswer,
  textOid,
} from '../../../src/session/local-answer.ts';
import { Request } from '../../../src/session/request.ts';
import { ClientStatements } from '../../../src/session/statements.ts';
import { frameTypes } from '../pool/fake-server.ts';
import { catalog } from '../router/catalog.ts';

const shown: LocalAnswer = {
  tag: 'SHOW',
  columns: [{ name: 'a', typeOid: textOid }],
  rows: [['x'], [null]],
};
const classifier = new Classifier({ catalog });

function batch(...messages: Buffer[]): Request {
  const request = new Request();
  const statements = new ClientStatements(new PreparedTexts());
  const scanner = new FrameScanner({
    lengthMax: frontendLengthMax,
    assembledBytesMax: 1 << 20,
    headBytesMin: 64,
  });
  scanner.feed(Buffer.concat(messages));
  while (scanner.next() === Scan.Frame) {
    const { type, buffer, start, end } = scanner;
    request.takeExtended(type, buffer, start, end, statements, (text, from, to) =>
      classifier.classify(text, from, to),
    );
  }
  return request;
}

describe('a Query that the proxy answers', () => {
  it('has rows, or only a tag', () => {
    const answer = answerQuery(shown, TxStatus.Idle);
    expect(frameTypes(answer)).toBe('TDDCZ');
    expect(answer.includes(Buffer.concat([dataRow(['x']), dataRow([null])]))).toBe(true);
    expect(answer.subarray(-6)).toEqual(readyForQueryIdle);
    expect(frameTypes(answerQuery(commandAnswer('BEGIN'), TxStatus.InTransaction))).toBe('CZ');
  });
});

describe('a batch that the proxy answers', () => {
  const { Statement, Portal } = frontend.TargetKind;
  it('gets one reply for each message', () => {
    const request = batch(
      frontend.parse('s', 'show tidemark.route'),
      frontend.describe(Statement, 's'),
      frontend.bind({ statement: 's' }),
      frontend.describe(Portal),
      frontend.execute(),
      frontend.close(Portal),
      frontend.flush,
      frontend.sync,
    );
    expect(frameTypes(answerBatch(request, shown, TxStatus.Idle))).toBe('1tT2TDDC3Z');
    expect(frameTypes(answerBatch(request, commandAnswer('X'), TxStatus.Failed))).toBe('1tn2nC3Z');
  });
});
