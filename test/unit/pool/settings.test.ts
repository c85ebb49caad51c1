import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  roleName,
  type Setting,
  Settings,
  settingFromSet,
  settingFromStartup,
} from '../../../src/pool/settings.ts';
import { GucModel } from '../session/guc-model.ts';

const of = (entries: Record<string, string>) =>
  Settings.of(Object.entries(entries).map(([name, v]) => [name, settingFromSet(name, `'${v}'`)]));

describe('what parsing looks at', () => {
  it('is told apart by the settings that matter to it, and no others', () => {
    expect(of({ application_name: 'x', work_mem: 'x' }).parsingKey).toBe(Settings.none.parsingKey);
    expect(of({ search_path: 'x' }).parsingKey).not.toBe(Settings.none.parsingKey);
    expect(of({ search_path: 'x', work_mem: 'x', timezone: 'x' }).parsingKey).toBe(
      of({ timezone: 'x', application_name: 'x', search_path: 'x' }).parsingKey,
    );
  });
});

describe('a setting', () => {
  it('from SET keeps the SQL text and knows the plain value', () => {
    expect(settingFromSet('work_mem', "'64MB'")).toEqual({
      sql: 'SET "work_mem" TO \'64MB\'',
      value: '64mb',
    });
    expect(settingFromSet('app.user', ' 5 ').value).toBe('5');
    expect(settingFromSet('app.user', '5').sql).toBe('SET "app"."user" TO 5');
  });

  it('from the startup packet is set as the configuration file would set it', () => {
    expect(settingFromStartup('search_path', `a, "B", it's\\`).sql).toBe(
      `SELECT pg_catalog.set_config('search_path', E'a, "B", it''s\\\\', false)`,
    );
    expect(settingFromStartup('Work_Mem', "it's 5").sql).toBe(`SET "Work_Mem" TO 'it''s 5'`);
  });

  it.each([
    // On the server's default, whatever the server connection had.
    [['dmy'], `RESET "datestyle"; SET "datestyle" TO 'dmy'`],
    [['iso'], `RESET "datestyle"; SET "datestyle" TO 'iso'`],
    [['iso', 'EUROPEAN'], `SET "datestyle" TO 'iso, dmy'`],
    [['dmy', 'POSTGRESQL'], `SET "datestyle" TO 'postgres, dmy'`],
    [['german'], `SET "datestyle" TO 'german, dmy'`],
    [['german', 'ymd'], `SET "datestyle" TO 'german, ymd'`],
    [['US, SQL', 'ymd, iso'], `SET "datestyle" TO 'iso, ymd'`],
    [['nonsense'], `SET "datestyle" TO 'nonsense'`],
  ])('of a date style after %j is all that counts', (values, sql) => {
    let setting: Setting | undefined;
    for (const value of values) setting = settingFromSet('datestyle', `'${value}'`, setting);
    expect(setting?.sql).toBe(sql);
  });

  it('of half a date style in the startup packet starts from the default', () => {
    const half = settingFromStartup('DateStyle', 'ISO');
    expect(half.sql).toBe(`RESET "datestyle"; SET "DateStyle" TO 'ISO'`);
    expect(settingFromSet('datestyle', "'dmy'", half).sql).toBe(`SET "datestyle" TO 'iso, dmy'`);
    expect(settingFromStartup('DateStyle', 'ISO, DMY').sql).not.toContain('RESET');
  });

  it.each(['on', 'ON', 'true', 'tru', 'tr', 't', 'yes', 'ye', 'y', '1'])('%s is on', (value) => {
    expect(of({ a: value }).isOn('a')).toBe(true);
  });
  it.each(['off', 'o', 'false', '0', '', 'onn', '11', 'trues'])('%s is not on', (value) => {
    expect(of({ a: value }).isOn('a')).toBe(false);
    expect(of({ a: 'on' }).isOn('b')).toBe(false);
  });
});

describe('settings', () => {
  it('are equal whatever the order in which they were made', () => {
    const one = of({ a: '1', b: '2' });
    const other = of({ b: '2', a: '1' });
    expect(one.equals(other)).toBe(true);
    expect(one.equals(of({ a: '1' }))).toBe(false);
    expect(one.equals(null)).toBe(false);
  });

  it('are never changed, and the same where nothing changes', () => {
    const one = of({ a: '1' });
    expect(one.with('a', settingFromSet('a', "'1'"))).toBe(one);
    expect(one.without('b')).toBe(one);
    expect(one.without('a')).toBe(Settings.none);
    expect(one.with('b', settingFromSet('b', "'2'")).get('a')).toBe(one.get('a'));
    expect(one.get('b')).toBeUndefined();
  });
});

describe('the difference', () => {
  const a1 = of({ a: '1' });

  it('is nothing between equals', () => {
    expect(a1.differenceFrom(of({ a: '1' }))).toBe('');
    expect(Settings.none.differenceFrom(Settings.none)).toBe('');
    expect(of({ role: 'r' }).differenceFrom(of({ role: 'r' }))).toBe('');
  });

  it('resets what is too much, and sets what is missing or other', () => {
    expect(of({ a: '2', c: '3' }).differenceFrom(of({ a: '1', b: '1', c: '3' }))).toBe(
      `RESET "b"; SET "a" TO '2'`,
    );
  });

  it('starts from nothing when nothing is known', () => {
    expect(Settings.none.differenceFrom(null)).toBe('RESET ROLE; RESET ALL');
    expect(a1.differenceFrom(null)).toBe(`RESET ROLE; RESET ALL; SET "a" TO '1'`);
  });

  it('sets other settings with the rights of the login role, and the role last', () => {
    const asRole = of({ role: 'r', a: '1' });
    expect(asRole.differenceFrom(Settings.none)).toBe(`SET "a" TO '1'; SET "role" TO 'r'`);
    expect(asRole.differenceFrom(of({ role: 'r' }))).toBe(
      `RESET ROLE; SET "a" TO '1'; SET "role" TO 'r'`,
    );
    expect(asRole.differenceFrom(of({ role: 'q', a: '1' }))).toBe(`RESET ROLE; SET "role" TO 'r'`);
    expect(a1.differenceFrom(asRole)).toBe('RESET ROLE');
    // Within a transaction SET LOCAL ROLE may be in force.
    expect(asRole.differenceFrom(of({ role: 'r' }), true)).toBe(`SET "a" TO '1'`);
  });

  it('asks a server in recovery for nothing that a SERIALIZABLE transaction would', () => {
    const listed = Settings.of([['search_path', settingFromStartup('search_path', 'a, b')]]);
    const query = listed.get('search_path')!.sql;
    const notSerializable = 'SET TRANSACTION ISOLATION LEVEL READ COMMITTED';
    const serializable = of({ default_transaction_isolation: 'serializable' });
    expect(listed.differenceFrom(serializable)).toBe(
      `${notSerializable}; RESET "default_transaction_isolation"; ${query}`,
    );
    expect(listed.differenceFrom(null)).toBe(`${notSerializable}; RESET ROLE; RESET ALL; ${query}`);
    expect(listed.differenceFrom(null, true)).not.toContain(notSerializable);
    expect(listed.differenceFrom(Settings.none)).toBe(query);
    expect(a1.differenceFrom(serializable)).not.toContain(notSerializable);
  });

  const entry = fc.tuple(fc.constantFrom('a', 'b', 'c', roleName), fc.constantFrom('1', '2'));
  const anySettings = fc
    .array(fc.tuple(entry, fc.boolean()), { maxLength: 5 })
    .map((entries) =>
      Settings.of(
        entries.map(([[name, value], isSet]): [string, Setting] => [
          name,
          isSet ? settingFromSet(name, `'${value}'`) : settingFromStartup(name, value),
        ]),
      ),
    );

  it('brings a server from any settings to any others', () => {
    const values = (settings: Settings) => {
      const found: Record<string, string> = {};
      for (const name of ['a', 'b', 'c', roleName]) {
        const setting = settings.get(name);
        if (setting !== undefined) found[name] = setting.value;
      }
      return found;
    };
    const run = (server: GucModel, sql: string) => {
      if (sql !== '') expect(server.query(sql.split('; '))).not.toContain(null);
    };
    fc.assert(
      fc.property(anySettings, anySettings, fc.boolean(), (from, to, isKnown) => {
        const server = new GucModel(new Map());
        run(server, from.differenceFrom(Settings.none));
        expect(server.values).toEqual(values(from));
        run(server, to.differenceFrom(isKnown ? from : null));
        expect(server.values).toEqual(values(to));
      }),
      { numRuns: 1000 },
    );
  });

  it('never sets anything as another role than that of the login', () => {
    fc.assert(
      fc.property(anySettings, fc.option(anySettings), (to, from) => {
        let role = from?.get(roleName) === undefined && from !== null ? 'login' : 'other';
        const sql = to.differenceFrom(from);
        for (const statement of sql === '' ? [] : sql.split('; ')) {
          if (statement === 'RESET ROLE') role = 'login';
          else if (/"role"|'role'/.test(statement)) role = 'other';
          else expect(role).toBe('login');
        }
      }),
      { numRuns: 1000 },
    );
  });
});
