import { beforeAll, describe, expect, test } from 'vitest';
import { Settings, settingFromStartup } from '../../../src/pool/settings.ts';
import { query } from '../../../src/protocol/frontend.ts';
import { Classifier } from '../../../src/router/classifier.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { resettingQuery } from '../../../src/session/resetting-query.ts';
import { catalog } from '../router/catalog.ts';

const startup = { application_name: 'app', role: 'reader', datestyle: 'German' };
const base = Settings.of(
  Object.entries(startup).map(([name, value]) => [name, settingFromStartup(name, value)] as const),
);
const classifier = new Classifier({ catalog });

beforeAll(loadParser);

/** What goes to the server in place of `sql`; null: `sql` itself. */
function sent(sql: string): string | null {
  const frame = query(sql);
  const classified = classifier.classify(frame, 5, frame.length - 1);
  const resetting = resettingQuery(frame, 0, frame.length, classified, base);
  return resetting?.message.toString('utf8', 5, resetting.message.length - 1) ?? null;
}

describe('behind a RESET of what the startup packet has set', () => {
  test.each([
    'RESET application_name',
    'SELECT 1; RESET application_name',
    'RESET work_mem; SHOW work_mem',
    "SET application_name = 'x'; SHOW application_name",
  ])('nothing is put into %s', (sql) => expect(sent(sql)).toBe(null));

  test.each([
    [
      'RESET application_name; SELECT 1',
      `RESET application_name; SET "application_name" TO 'app'; SELECT 1`,
    ],
    [
      "SELECT 'é;'; RESET application_name -- a; b\n; SELECT 1",
      `SELECT 'é;'; RESET application_name -- a; b\n; SET "application_name" TO 'app'; SELECT 1`,
    ],
    [
      'SET LOCAL application_name TO DEFAULT; SELECT 1',
      `SET LOCAL application_name TO DEFAULT; SET LOCAL "application_name" TO 'app'; SELECT 1`,
    ],
    ['RESET ROLE; SELECT 1', `RESET ROLE; SET "role" TO 'reader'; SELECT 1`],
    [
      'RESET ALL; SELECT 1',
      `RESET ALL; SET "application_name" TO 'app'; SET "datestyle" TO 'German'; SELECT 1`,
    ],
  ])('%s', (sql, expected) => expect(sent(sql)).toBe(expected));
});
