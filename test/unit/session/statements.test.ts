import { describe, expect, it } from 'vitest';
import { PreparedTexts } from '../../../src/pool/prepared.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { type ClientStatement, ClientStatements } from '../../../src/session/statements.ts';
import { catalog } from '../router/catalog.ts';

const classified = new Classifier({ catalog }).classify(Buffer.alloc(0), 0, 0);

function setUp(): {
  texts: PreparedTexts;
  statements: ClientStatements;
  make: (sql: string) => ClientStatement;
} {
  const texts = new PreparedTexts();
  const statements = new ClientStatements(texts);
  const make = (sql: string) => ({ text: texts.use(Buffer.from(sql)), classified });
  return { texts, statements, make };
}

describe('the names of a session', () => {
  it('are found from when they were sent', () => {
    const { statements, make } = setUp();
    const one = make('SELECT 1');
    statements.announce('s', one);
    expect(statements.get('s')).toBe(one);
    statements.announce('s', null);
    expect(statements.get('s')).toBeUndefined();
  });

  it('stay when the request ends if the server confirmed them', () => {
    const { statements, make } = setUp();
    statements.announce('confirmed', make('SELECT 1'));
    statements.confirm('confirmed', make('SELECT 1'));
    statements.announce('refused', make('SELECT 2'));
    statements.settle();
    expect(statements.get('confirmed')?.text.body.toString()).toBe('SELECT 1');
    expect(statements.get('refused')).toBeUndefined();
  });

  it('are free again for a request that runs again elsewhere', () => {
    const { statements, make } = setUp();
    const kept = make('SELECT 0');
    statements.add('kept', kept);
    statements.announce('s', make('SELECT 1'));
    statements.confirm('s', make('SELECT 1'));
    statements.announce('kept', null);
    statements.confirm('kept', null);
    statements.forget();
    expect(statements.get('s')).toBeUndefined();
    expect(statements.get('kept')?.text).toBe(kept.text);
  });

  it('take what was closed and made again in the order of the answers', () => {
    const { statements, make } = setUp();
    statements.add('s', make('SELECT 1'));
    statements.confirm('s', null);
    statements.confirm('s', make('SELECT 2'));
    statements.settle();
    expect(statements.get('s')?.text.body.toString()).toBe('SELECT 2');
  });

  it('hold on to one shared text each, and to none when the session is over', () => {
    const { texts, statements, make } = setUp();
    const borrowed = make('SELECT 1');
    texts.drop(borrowed.text);
    statements.add('a', borrowed);
    statements.add('b', borrowed);
    expect(statements.get('a')?.text).toBe(statements.get('b')?.text);
    expect(texts.size).toBe(1);
    statements.close();
    expect(texts.size).toBe(0);
    statements.confirm('late', borrowed);
    statements.settle();
    expect(texts.size).toBe(0);
  });
});
