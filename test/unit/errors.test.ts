import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { errorTemplates, ProxyError } from '../../src/errors.ts';

const documented = readFileSync(new URL('../../docs/errors.md', import.meta.url), 'utf8')
  .split('\n')
  .filter((line) => /^\| [0-9A-Z]{5} \|/.test(line))
  .map((line) =>
    line
      .slice(1, -1)
      .split('|')
      .map((cell) => cell.trim()),
  );

describe('the table of errors', () => {
  test('is what docs/errors.md says, in its order', () => {
    const templates: readonly {
      sqlstate: string;
      severity: string;
      message: string;
      hint?: string;
    }[] = Object.values(errorTemplates);
    expect(documented).toEqual(
      templates.map(({ sqlstate, severity, message, hint }) => [
        sqlstate,
        severity,
        message,
        hint ?? '',
      ]),
    );
  });

  test('fills in values in the order of message and hint', () => {
    const error = new ProxyError('invalidSetting', 'tidemark.consistency', 'x', 'Use another.');
    expect(error.message).toBe('invalid value for parameter "tidemark.consistency": "x"');
    expect(error.hint).toBe('Use another.');
    expect(error).toMatchObject({ sqlstate: '22023', severity: 'ERROR', code: 'invalidSetting' });
  });
});
