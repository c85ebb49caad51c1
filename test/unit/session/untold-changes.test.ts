import { beforeEach, describe, expect, it } from 'vitest';
import type { Destination } from '../../../src/session/destination.ts';
import { Request } from '../../../src/session/request.ts';
import type { SharedChanges } from '../../../src/session/shared-changes.ts';
import { UntoldChanges } from '../../../src/session/untold-changes.ts';

/** Who hears of the changes of a session of the database `d`. */
function setUp() {
  const told: string[] = [];
  /** Until when each change of the catalog is not known here. */
  const loads: Promise<void>[] = [];
  const awaited: Promise<void>[] = [];
  const changes = {
    catalogChanged: (database: string) => {
      told.push(`catalog of ${database}`);
      const load = Promise.resolve();
      loads.push(load);
      return load;
    },
    defaultsChanged: () => told.push('defaults'),
  } as unknown as SharedChanges;
  const destination = {
    awaitCatalog: (known: Promise<void>) => awaited.push(known),
  } as unknown as Destination;
  const untold = new UntoldChanges(changes, 'd', destination);
  return { untold, told, loads, awaited };
}

const request = (what: Partial<Pick<Request, 'ddl' | 'changesDefaults'>>) =>
  Object.assign(new Request(), what);
const ddl = request({ ddl: true });
const newDefaults = request({ changesDefaults: true });
const read = request({});

let all: ReturnType<typeof setUp>;
beforeEach(() => {
  all = setUp();
});

describe('what a transaction has changed', () => {
  it('is told when it has ended', () => {
    const { untold, told, awaited } = all;
    untold.note(ddl);
    untold.note(newDefaults);
    expect(told).toEqual([]);
    expect(awaited).toEqual([]);
    untold.tell();
    expect(told).toEqual(['catalog of d', 'defaults']);
  });

  it('is nothing where it has only read', () => {
    const { untold, told, awaited } = all;
    untold.tell();
    untold.note(read);
    untold.tell();
    expect(told).toEqual([]);
    expect(awaited).toEqual([]);
  });

  it('in the catalog has its own session wait until it is known', () => {
    const { untold, told, loads, awaited } = all;
    untold.note(ddl);
    untold.tell();
    expect(told).toEqual(['catalog of d']);
    expect(awaited).toHaveLength(1);
    expect(awaited[0]).toBe(loads[0]);
  });

  it('of what new connections begin with is nothing to wait for', () => {
    const { untold, told, awaited } = all;
    untold.note(newDefaults);
    untold.tell();
    expect(told).toEqual(['defaults']);
    expect(awaited).toEqual([]);
  });

  it('stays to be told whatever it does afterwards', () => {
    const { untold, told } = all;
    for (const one of [ddl, read, newDefaults, read]) untold.note(one);
    untold.tell();
    expect(told).toEqual(['catalog of d', 'defaults']);
  });

  it('several times is told once', () => {
    const { untold, told, awaited } = all;
    for (const one of [ddl, newDefaults, ddl, newDefaults]) untold.note(one);
    untold.tell();
    expect(told).toEqual(['catalog of d', 'defaults']);
    expect(awaited).toHaveLength(1);
  });

  it('is not told again with the next one, which tells its own', () => {
    const { untold, told, loads, awaited } = all;
    untold.note(request({ ddl: true, changesDefaults: true }));
    untold.tell();
    untold.tell();
    expect(told).toEqual(['catalog of d', 'defaults']);
    untold.note(ddl);
    untold.tell();
    expect(told).toEqual(['catalog of d', 'defaults', 'catalog of d']);
    expect(awaited).toHaveLength(2);
    expect(awaited[1]).toBe(loads[1]);
  });
});
