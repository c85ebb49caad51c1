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
