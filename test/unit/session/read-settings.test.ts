import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProxyError } from '../../../src/errors.ts';
import { parseReadSetting, showReadSetting } from '../../../src/session/read-policy.ts';
import type { ReadSettingsMark } from '../../../src/session/read-settings.ts';
import { GucModel } from './guc-model.ts';
import { readSettings } from './policies.ts';

const names = ['consistency', 'wait_timeout'] as const;
const values = { consistency: ['strong', 'bounded'], wait_timeout: ['5ms', '7ms'] } as const;
const startup = { consistency: 'session', wait_timeout: '20ms' };

describe("the proxy's own settings", () => {
  it('have the transactions of a server’s settings', () => {
    const name = fc.constantFrom(...names);
    const set = fc
      .record({ name, pick: fc.nat(1), local: fc.boolean() })
      .map(({ name, pick, local }) => ({ kind: 'set', name, pick, local }) as const);
    const step = fc.oneof(
      { weight: 4, arbitrary: set },
      { weight: 1, arbitrary: name.map((name) => ({ kind: 'reset', name }) as const) },
      {
        weight: 5,
        arbitrary: fc
          .constantFrom('begin', 'commit', 'rollback', 'savepoint', 'rollback-to', 'reset-all')
          .map((kind) => ({ kind })),
      },
    );
    let locals = 0;
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        const model = new GucModel(new Map(Object.entries(startup)));
        const own = readSettings();
        let marks: ReadSettingsMark[] = [];
        const inTransaction = () => model.status !== 'idle';
        for (const one of steps) {
          switch (one.kind) {
            case 'set': {
              if (one.local && !inTransaction()) break;
              if (one.local) locals++;
              const value = values[one.name][one.pick]!;
              model.query([`SET ${one.local ? 'LOCAL ' : ''}"${one.name}" TO '${value}'`]);
              const change = parseReadSetting(`tidemark.${one.name}`, value);
              if (change instanceof ProxyError) throw change;
              own.set(change, one.local);
              if (!inTransaction()) own.committed();
              break;
            }
            case 'reset':
              model.query([`RESET "${one.name}"`]);
              own.reset(`tidemark.${one.name}`, false);
              if (!inTransaction()) own.committed();
              break;
            case 'reset-all':
              model.query(['RESET ALL']);
              own.resetAll();
              if (!inTransaction()) own.committed();
              break;
            case 'begin':
              if (!inTransaction()) model.query(['BEGIN']);
              break;
            case 'commit':
              if (!inTransaction()) break;
              model.query(['COMMIT']);
              own.committed();
              marks = [];
              break;
            case 'rollback':
              if (!inTransaction()) break;
              model.query(['ROLLBACK']);
              own.rolledBack();
              marks = [];
              break;
            case 'savepoint':
              if (!inTransaction()) break;
              model.query([`SAVEPOINT s`]);
              marks.push(own.mark());
              break;
            case 'rollback-to': {
              const mark = marks.at(-1);
              if (mark === undefined) break;
              model.query([`ROLLBACK TO s`]);
              own.goBackTo(mark);
              break;
            }
          }
          const shown = Object.fromEntries(
            names.map((name) => [name, showReadSetting(`tidemark.${name}`, own.current)]),
          );
          expect(shown).toEqual(model.values);
        }
      }),
      { numRuns: 1000 },
    );
    expect(locals).toBeGreaterThan(100);
  });
});
