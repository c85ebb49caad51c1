import { describe, expect, it } from 'vitest';
import { PreparedOnServer, PreparedTexts } from '../../../src/pool/prepared.ts';

const body = (text: string) => Buffer.from(`${text}\0\0\0`);

describe('prepared texts', () => {
  it('are shared by their bytes, whatever bytes they are', () => {
    const texts = new PreparedTexts();
    const one = texts.use(body('select 1'));
    expect(texts.use(body('select 1'))).toBe(one);
    expect(texts.use(body('select 2'))).not.toBe(one);
    const odd = texts.use(Buffer.of(0x80, 0xff, 0, 0, 0));
    expect(texts.use(Buffer.of(0x81, 0xff, 0, 0, 0))).not.toBe(odd);
    expect(new Set([one.name, odd.name]).size).toBe(2);
  });

  it('are not shared by scopes that make other things of them', () => {
    const texts = new PreparedTexts();
    const one = texts.use(body('select 1'), 'one');
    const other = texts.use(body('select 1'), 'other');
    expect(other.name).not.toBe(one.name);
    texts.drop(one);
    texts.drop(other);
    expect(texts.use(body('select 1'), 'one')).toBe(one);
    expect(texts.use(body('select 1'), 'other')).toBe(other);
  });

  it('keep their name when their last user has gone: servers still have them', () => {
    const texts = new PreparedTexts();
    const one = texts.use(body('select 1'));
    texts.use(body('select 1'));
    texts.drop(one);
    expect(texts.size).toBe(1);
    texts.drop(one);
    texts.drop(one);
    expect(texts.size).toBe(0);
    expect(texts.use(body('select 1'))).toBe(one);
    expect(texts.use(body('select 2')).name).not.toBe(one.name);
  });

  it('are forgotten when too many others came, and never mistaken for a later one', () => {
    const texts = new PreparedTexts();
    const one = texts.use(body('select 1'));
    texts.drop(one);
    for (let i = 0; i < 20_000; i++) texts.drop(texts.use(body(`select ${i} + 1`)));
    const other = texts.use(body('select 1'));
    expect(other.name).not.toBe(one.name);
    texts.drop(one);
    expect(texts.size).toBe(1);
  });

  it('do not keep the chunk that they came in', () => {
    const chunk = Buffer.alloc(1024 * 1024, 0x20);
    const text = new PreparedTexts().use(chunk.subarray(10, 20));
    expect(text.body.buffer).not.toBe(chunk.buffer);
    expect(text.body).toEqual(chunk.subarray(10, 20));
  });
});

describe('a prepared text', () => {
  it('keeps no more memory than its own', () => {
    const chunk = Buffer.alloc(65_536, 'x');
    for (const text of [chunk.subarray(0, 10), Buffer.from('from the pool')]) {
      const kept = new PreparedTexts().use(text).body;
      expect(kept.equals(text)).toBe(true);
      expect(kept.buffer.byteLength).toBe(text.length);
    }
  });
});

describe('what is prepared on a server', () => {
  it('is given up in order of last use', () => {
    const texts = new PreparedTexts();
    const [a, b, c] = ['a', 'b', 'c'].map((text) => texts.use(body(text)));
    const server = new PreparedOnServer();
    for (const text of [a!, b!, c!]) server.announce(text);
    expect(server.has(a!)).toBe(true);
    expect(server.oldestBeyond(3)).toEqual([]);
    expect(server.oldestBeyond(1)).toEqual([b, c]);
    expect(server.oldestBeyond(-5)).toEqual([b, c, a]);
    server.remove(b!);
    expect(server.has(b!)).toBe(false);
    expect(server.oldestBeyond(1)).toEqual([c]);
    server.unnamed = a!;
    server.clear();
    expect(server.unnamed).toBeNull();
    expect(server.has(a!)).toBe(false);
  });

  it('is not used by its Parse being answered', () => {
    const texts = new PreparedTexts();
    const [a, b, c] = ['a', 'b', 'c'].map((text) => texts.use(body(text)));
    const server = new PreparedOnServer();
    for (const text of [a!, b!, c!]) server.announce(text);
    for (const text of [b!, c!, a!]) {
      server.confirm(text);
      expect(server.oldestBeyond(2)).toEqual([a]);
      expect(server.oldestBeyond(0)).toEqual([a, b, c]);
    }
    expect(server.has(a!)).toBe(true);
    server.confirm(b!);
    expect(server.oldestBeyond(0)).toEqual([b, c, a]);
  });

  it('is all gone behind a DEALLOCATE ALL, but for what is prepared behind it', () => {
    const texts = new PreparedTexts();
    const [a, b, c] = ['a', 'b', 'c'].map((text) => texts.use(body(text)));
    const server = new PreparedOnServer();
    server.announce(a!);
    server.confirm(a!);
    server.announce(b!);
    server.announceClear();
    expect([a!, b!].map((text) => server.has(text))).toEqual([false, false]);
    server.confirm(b!);
    server.announce(c!);
    server.clear();
    server.confirm(c!);
    server.settle();
    expect([a!, b!, c!].map((text) => server.has(text))).toEqual([false, false, true]);
  });

  it('stays when a DEALLOCATE ALL was not executed', () => {
    const texts = new PreparedTexts();
    const [a, b] = ['a', 'b'].map((text) => texts.use(body(text)));
    const server = new PreparedOnServer();
    server.announce(a!);
    server.confirm(a!);
    server.announceClear();
    server.announce(b!);
    server.settle();
    expect([a!, b!].map((text) => server.has(text))).toEqual([true, false]);
  });
});
