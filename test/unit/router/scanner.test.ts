import fc from 'fast-check';
import { loadModule, scanSync } from 'libpg-query';
import { beforeAll, describe, expect, it } from 'vitest';

import { formOf, scan, scanned, TEXT_BYTES_MAX } from '../../../src/router/scanner.ts';

function form(sql: string): string {
  const text = Buffer.from(sql);
  scan(text, 0, text.length);
  return formOf().replaceAll('\x01', '<n>').replaceAll('\x02', '<s>').replaceAll('\x04', '<$>');
}

/** The same form, made of the tokens of PostgreSQL's own scanner, without spaces. */
function formByPostgres(sql: string): string {
  let out = '';
  const literal = (kind: string, prefix: string): void => {
    if (prefix === '' && out.endsWith(`${kind},`)) out = out.slice(0, -1);
    else out += prefix + kind;
  };
  for (const { tokenName, text } of scanSync(sql).tokens) {
    switch (tokenName) {
      case 'SQL_COMMENT':
      case 'C_COMMENT':
        break;
      case 'ICONST':
      case 'FCONST':
        literal('<n>', '');
        break;
      case 'SCONST':
        literal('<s>', /^e?/i.exec(text)![0]);
        break;
      case 'PARAM':
        literal('<$>', '');
        break;
      default: {
        // Bit strings and U&'...' have no name in libpg-query's scanner, like many other tokens.
        const prefix = /^([bx]|u&)(?=')/i.exec(text);
        if (prefix === null) out += text;
        else literal('<s>', prefix[0]);
      }
    }
  }
  return out;
}

describe('scan', () => {
  it.each([
    ['SELECT  *\n\tFROM t', 'SELECT * FROM t'],
    ["SELECT 'it''s', 7", 'SELECT <s>, <n>'],
    ["SELECT E'it\\'s', E'\\\\'", 'SELECT E<s>, E<s>'],
    ["SELECT 'a\\', 'b'", 'SELECT <s>'],
    ["SELECT U&'d\\0061t', b'01', X'1F', n'x'", 'SELECT U&<s>, b<s>, X<s>, n<s>'],
    ["SELECT B'0''1', X'1'\n'2'", 'SELECT B<s><s>, X<s>'],
    ['SELECT 1..5, 2', 'SELECT <n>..<n>'],
    ["SELECT $$it's$$, $a$ $$ $b$ $a$", 'SELECT <s>'],
    ['SELECT $1, $2 + $3', 'SELECT <$> + <$>'],
    ['SELECT 1.5, .5, 1e10, 1.e-5, 0xFF, 1_000', 'SELECT <n>'],
    ['SELECT a1, b$2, "c 3", "d""4"', 'SELECT a1, b$2, "c 3", "d""4"'],
    ['SELECT a.5', 'SELECT a<n>'],
    ['SELECT 1 -- one\n+ 2 /* two /* nested */ */ + 3', 'SELECT <n> + <n> + <n>'],
    ['SELECT 1--2', 'SELECT <n>'],
    ['SELECT 1*-2', 'SELECT <n>*-<n>'],
    ["SELECT 'a'\n'b'", 'SELECT <s>'],
    ["SELECT E'a'  -- c\n 'b\\'c'", 'SELECT E<s>'],
    ["SELECT 'a' 'b'", 'SELECT <s> <s>'],
    ['x IN (1,2 , 3 ,4)', 'x IN (<n>)'],
    ["f('a', 1, 'b')", 'f(<s>, <n>, <s>)'],
    ['  ;; SELECT 1 ; ; ', 'SELECT <n>;;'],
    ['SELECT "a""""b""", ""', 'SELECT "a""""b""", ""'],
    ['SELECT "a""', 'SELECT "a""\x03'],
    ["SELECT 'open", 'SELECT <s>\x03'],
    ['SELECT "open', 'SELECT "open\x03'],
    ['SELECT /* open', 'SELECT \x03'],
    ['SELECT $tag$ open $tag', 'SELECT <s>\x03'],
    ['SELECT \x01 + 1', 'SELECT \x03 + <n>'],
    ['SELECT U&"a", U & \'a\'', 'SELECT U&"a", U & <s>'],
  ])('%j', (sql, expected) => {
    expect(form(sql)).toBe(expected);
  });

  it.each([
    ['SELECT 1', false],
    ['SELECT 1;', false],
    ['; SELECT 1; -- end\n;', false],
    ["SELECT ';'; ", false],
    ['SELECT 1; SELECT 2', true],
    ["SELECT E'\\'; DELETE FROM t; --'", false],
    ["SELECT '\\'; DELETE FROM t; --'", true],
  ])('sees whether several statements stand in %j', (sql, several) => {
    form(sql);
    expect(scanned.severalStatements).toBe(several);
  });

  it('finds the comments with a hint', () => {
    const text = Buffer.from(
      "/* a:b */ SELECT ' tidemark: no ' -- TideMark: yes\n, 1 /* tidemark:*/",
    );
    scan(text, 0, text.length);
    const { hintRanges } = scanned;
    expect(hintRanges.length).toBe(4);
    expect(text.toString('utf8', hintRanges[0], hintRanges[1])).toBe('-- TideMark: yes');
    expect(text.toString('utf8', hintRanges[2], hintRanges[3])).toBe('/* tidemark:*/');
  });

  it('takes time in proportion to a hostile text', () => {
    for (const part of [
      '""',
      "''",
      '$a',
      '$a$',
      '/*',
      "' ",
      "'\n",
      '"',
      '--\n',
      'tidemark:',
      '$$',
    ]) {
      const text = Buffer.from(part.repeat(200_000));
      // Quadratic, each would take minutes; a stack would overflow.
      scan(text, 0, text.length);
      scan(Buffer.concat([Buffer.from('/*'), text]), 0, text.length);
      expect(scanned.formLength).toBeLessThanOrEqual(text.length + 1);
    }
  }, 60_000);

  it('counts but does not keep what is too long', () => {
    const text = Buffer.from(`SELECT ${'a+'.repeat(TEXT_BYTES_MAX * 20)}a`);
    scan(text, 0, text.length);
    expect(scanned.formLength).toBe(text.length);
    expect(formOf()).toBe(text.toString('latin1', 0, formOf().length));
    expect(form('SELECT 1')).toBe('SELECT <n>');
  });

  describe('agrees with the scanner of PostgreSQL', () => {
    beforeAll(loadModule);

    const fragments = fc.constantFrom(
      ...[
        "'",
        "''",
        "E'",
        "e'",
        "B'0",
        "X'1",
        "N'",
        "U&'",
        'U&"',
        '"',
        '""',
        '\\',
        "\\'",
        '$',
        '$$',
      ],
      ...['$a$', '$1', '$23', 'a', 'ab', 'e', 'E', 'u', 'x', '_', 'a$b', 'select', ' ', '  ', '\n'],
      ...[
        '\r',
        '\t',
        '--',
        '/*',
        '*/',
        '/',
        '*',
        '-',
        '+',
        '@',
        '&',
        '|',
        '<',
        '=',
        ';',
        ',',
        ', ',
      ],
      ...[
        '(',
        ')',
        '[',
        ']',
        '.',
        '..',
        ':',
        '::',
        '1',
        '12',
        '1.',
        '.5',
        '1e5',
        '1e',
        '0x1F',
        '0b1',
      ],
      ...[
        '1_0',
        '0',
        '?',
        "'a'",
        "'b\\'",
        "E'a\\'b'",
        "'a'\n'b'",
        '$$x$$',
        '"q"',
        '/* c */',
        '-- c\n',
      ],
    );

    it('on everything it accepts', () => {
      let accepted = 0;
      fc.assert(
        fc.property(fc.array(fragments, { maxLength: 14 }), (parts) => {
          const sql = parts.join('');
          // libpg-query does not continue a string across a comment. PostgreSQL does, and so does scan.
          if (/'\s*--/.test(sql)) return;
          let expected: string;
          try {
            expected = formByPostgres(sql);
          } catch {
            return;
          }
          accepted++;
          // Trailing and leading semicolons are not kept; spaces are compared by the examples above.
          const strip = (text: string): string => text.replace(/^;+/, '');
          // A stray dollar is a token for PostgreSQL's scanner, and nothing for its grammar.
          expect(form(sql).replaceAll(' ', '').replaceAll('\x03', '$')).toBe(
            strip(expected).replaceAll(' ', ''),
          );
        }),
        { numRuns: 20_000 },
      );
      expect(accepted).toBeGreaterThan(2_000);
    }, 60_000);
  });
});
