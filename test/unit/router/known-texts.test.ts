import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Classifier } from '../../../src/router/classifier.ts';
import { KnownTexts } from '../../../src/router/known-texts.ts';
import { loadParser } from '../../../src/router/parser.ts';
import type { Classified } from '../../../src/router/statement.ts';
import { catalog } from './catalog.ts';

beforeAll(loadParser);

/** Stands for what the classifier would say of this text. */
const classOf = (text: string) => ({ key: text }) as Classified;

/** As the classifier does: looks, and tells where it found nothing. */
function look(texts: KnownTexts, text: string, before = '', behind = ''): string | null {
  const bytes = Buffer.from(before + text + behind);
  const start = Buffer.byteLength(before);
  const end = start + Buffer.byteLength(text);
  const found = texts.find(bytes, start, end);
  if (found === null) texts.add(bytes, start, end, classOf(text));
  return found?.key ?? null;
}

describe('a text that comes again', () => {
  it('is known from the third time on, wherever it stands', () => {
    const texts = new KnownTexts();
    expect(look(texts, 'select $1')).toBeNull();
    expect(look(texts, 'select $1', 'xyz')).toBeNull();
    expect(look(texts, 'select $1')).toBe('select $1');
    expect(look(texts, 'select $1', 'in front', 'behind')).toBe('select $1');
  });

  it('does not depend on the bytes that it came with', () => {
    const texts = new KnownTexts();
    const bytes = Buffer.from('select 1');
    texts.find(bytes, 0, bytes.length);
    texts.add(bytes, 0, bytes.length, classOf('select 1'));
    texts.find(bytes, 0, bytes.length);
    texts.add(bytes, 0, bytes.length, classOf('select 1'));
    bytes.fill('x');
    expect(look(texts, 'select 1')).toBe('select 1');
    expect(look(texts, 'xxxxxxxx')).toBeNull();
  });

  it('is forgotten when classes may differ', () => {
    const texts = new KnownTexts();
    look(texts, 'select 1');
    look(texts, 'select 1');
    texts.clear();
    expect(look(texts, 'select 1')).toBeNull();
  });

  it('is not kept when it is long', () => {
    const texts = new KnownTexts();
    const long = `select '${'x'.repeat(16 * 1024)}'`;
    for (let times = 0; times < 4; times++) expect(look(texts, long)).toBeNull();
  });
});

/** As KnownTexts does it; should that change, the test with it says so. */
function hashOf(text: Buffer): number {
  let hash = text.length;
  let at = 0;
  for (; at < text.length - 3; at += 4) {
    hash = Math.imul(hash ^ text.readInt32LE(at), 0x5bd1e995);
    hash ^= hash >>> 15;
  }
  for (; at < text.length; at++) hash = Math.imul(hash ^ text[at]!, 0x5bd1e995);
  return hash ^ (hash >>> 13);
}

/** Two texts of the same length and hash. */
function colliding(): [string, string] {
  const byHash = new Map<number, string>();
  for (let number = 1_000_000; number < 9_999_999; number++) {
    const text = `select ${number}`;
    const hash = hashOf(Buffer.from(text));
    const other = byHash.get(hash);
    if (other !== undefined) return [other, text];
    byHash.set(hash, text);
  }
  throw new Error('no two texts have the same hash');
}

describe('two texts with the same hash', () => {
  const [one, other] = colliding();

  it('are never taken for each other', () => {
    const texts = new KnownTexts();
    expect(look(texts, one)).toBeNull();
    // Where it counts as seen, which shows that the hash is the same.
    expect(look(texts, other)).toBeNull();
    expect(look(texts, other)).toBe(other);
    expect(look(texts, one)).toBeNull();
    // It has taken the other's place.
    expect(look(texts, one)).toBe(one);
    expect(look(texts, other)).toBeNull();
  });

  it('are found as what they are, in whichever order they come', () => {
    const order = fc.array(fc.constantFrom(one, other), { maxLength: 20 });
    fc.assert(
      fc.property(order, (sent) => {
        const texts = new KnownTexts();
        for (const text of sent) expect([null, text]).toContain(look(texts, text));
      }),
    );
  });
});

describe('any texts', () => {
  it('are found as what they are, or not at all', () => {
    const short = fc.string({ unit: fc.constantFrom('a', 'b', ' ', 'é', '1'), maxLength: 9 });
    const property = fc.property(fc.array(short, { maxLength: 200 }), (sent) => {
      const texts = new KnownTexts();
      for (const text of sent) expect([null, text]).toContain(look(texts, text));
    });
    fc.assert(property, { numRuns: 200 });
  });
});

describe('the classifier', () => {
  const classify = (classifier: Classifier, text: string, backslashEscapes = false) => {
    const bytes = Buffer.from(text);
    return classifier.classify(bytes, 0, bytes.length, backslashEscapes);
  };

  it('says the same of a text however often it comes', () => {
    const classifier = new Classifier({ catalog });
    const texts = [
      'select 1',
      'select 2',
      "set x.y = '1'",
      'insert into t values (1)',
      '',
      'selec',
    ];
    const first = texts.map((text) => classify(classifier, text));
    for (let times = 0; times < 4; times++)
      expect(texts.map((text) => classify(classifier, text))).toEqual(first);
  });

  it('forgets with what it has learned, and with a new catalog', () => {
    const classifier = new Classifier({ catalog });
    let read = classify(classifier, 'select 1');
    for (let times = 0; times < 3; times++) read = classify(classifier, 'select 1');
    expect(read.access).toBe('read');
    classifier.learnWrite(read);
    expect(classify(classifier, 'select 1').reason).toBe('learned-write');
    for (let times = 0; times < 3; times++) classify(classifier, 'select 1');
    classifier.catalogChanged();
    expect(classify(classifier, 'select 1').access).toBe('read');
  });

  it('does not take a text for known that the session reads differently', () => {
    const classifier = new Classifier({ catalog });
    const text = "select 'a\\'";
    for (let times = 0; times < 4; times++) classify(classifier, text);
    expect(classify(classifier, text).access).toBe('read');
    expect(classify(classifier, text, true).reason).toBe('unparsable');
    expect(classify(classifier, text).access).toBe('read');
  });

  it('tells literals with escapes from those without, however often they come', () => {
    const classifier = new Classifier({ catalog });
    // With the access that it has where a backslash in a plain literal is only itself. Where it is an
    // escape, a text with any backslash in it is not read, and a write.
    const texts: readonly (readonly [string, Classified['access']])[] = [
      ["select E'a\\''", 'read'],
      ["select 'a'", 'read'],
      ["select 'a\\'", 'read'],
      ["select E'a\\'", 'write'],
      ["select 'a\\''", 'write'],
      ["select E'a\\'; delete from t; --'", 'read'],
      ["select 'a\\'; delete from t; --'", 'write'],
      ["select 'a'; delete from t; --'", 'write'],
    ];
    for (let times = 0; times < 5; times++) {
      for (const [text, access] of texts) {
        const found = classify(classifier, text);
        expect([text, found.access]).toEqual([text, access]);
        const escaping = classify(classifier, text, true);
        const isRead = access === 'read' && !text.includes('\\');
        expect([text, escaping.access]).toEqual([text, isRead ? 'read' : 'write']);
      }
    }
  });

  it('tells the catalog each time of what it does not know', () => {
    let missed = 0;
    const watched = {
      ...catalog,
      missed: () => {
        missed++;
      },
    };
    const classifier = new Classifier({ catalog: watched });
    for (let times = 1; times <= 5; times++) {
      classify(classifier, 'select * from new_table');
      expect(missed).toBe(times);
    }
  });
});
