import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import * as frontend from '../../src/protocol/frontend.ts';
import { Bystander, busyPools, bystanderUser, expectClean } from '../support/bystander.ts';
import { startTestCluster, type TestCluster } from '../support/cluster.ts';
import { eventually, startTestProxy, type TestProxy } from '../support/proxy.ts';
import { describeFrames, RawClient, type RawTarget, rawHeader } from '../support/raw-client.ts';

const { bind, copyData, copyDone, copyFail, describe: describeMessage, execute } = frontend;
const { flush, parse, query, sync } = frontend;

/** Minutes, for a server that is not told to stop. */
const longRead = 'select count(*) from generate_series(1, 3000000000)';
const poolSize = 3;

let cluster: TestCluster;
let proxy: TestProxy;
/** Its reads wait for as long as it takes. */
let patientProxy: TestProxy;
let bystander: Bystander;
let there: RawTarget;

beforeAll(async () => {
  cluster = await startTestCluster({ replicas: 2 });
  proxy = await startTestProxy(cluster, { users: [bystanderUser], pool: { size: poolSize } });
  patientProxy = await startTestProxy(cluster, {
    freshness: { waitTimeoutMs: 600_000, maxStalenessMs: 600_000 },
  });
  const { user, password, database } = cluster;
  there = { host: proxy.host, port: proxy.port, user, password, database };
  await cluster.primary.query('create table target (n int primary key)');
  bystander = await Bystander.start(cluster, proxy);
});

afterEach(async () => {
  await bystander.isServed();
  await expectClean(cluster, proxy);
  await cluster.primary.query('truncate target');
});

afterAll(async () => {
  await bystander?.stop();
  await patientProxy?.stop();
  await proxy?.stop();
  await cluster?.stop();
});

/** The ways to go: with FIN, with RST, with a Terminate. */
const ways: Record<string, (client: RawClient) => void> = {
  close: (client) => client.destroy(),
  reset: (client) => client.reset(),
  'half-close': (client) => client.end(),
  Terminate: (client) => client.send(frontend.terminate),
};

/** A statement with this text runs on some server. */
async function runs(text: string): Promise<void> {
  await eventually(async () => {
    for (const node of cluster.nodes) {
      const rows = await node.query(
        `select from pg_stat_activity
         where state = 'active' and query like '%' || $1 || '%' and pid <> pg_backend_pid()`,
        [text],
      );
      if (rows.length > 0) return true;
    }
    return false;
  }, `${text} runs`);
}

const numbers = async () =>
  (await cluster.primary.query('select n from target order by n')).map(({ n }) => n);

/** Every beginning of the list. */
const prefixes = <T>(list: readonly T[]): readonly (readonly T[])[] =>
  [...list, null].map((_, length) => list.slice(0, length));

describe('a disconnect in a COPY', () => {
  const copyIn = 'copy target from stdin';
  const simple = [query(copyIn), copyData(Buffer.from('1\n')), copyData(Buffer.from('2\n'))];
  const extended = [
    Buffer.concat([parse('', copyIn), bind(), describeMessage(frontend.TargetKind.Portal)]),
    Buffer.concat([execute(), flush]),
    copyData(Buffer.from('1\n')),
    copyData(Buffer.from('2\n')),
  ];
  const piped = [
    Buffer.concat([parse('', copyIn), bind(), execute(), sync]),
    copyData(Buffer.from('1\n')),
    copyData(Buffer.from('2\n')),
  ];
  const inTransaction = [query('begin'), query('insert into target values (9)'), ...simple];
  const halfMessage = rawHeader('d', 1_000);
  const halfLongMessage = Buffer.concat([rawHeader('d', 8_000_000), Buffer.alloc(2_000_000, '1')]);

  for (const [way, leave] of Object.entries(ways)) {
    for (const [kind, steps] of Object.entries({ simple, extended, piped, inTransaction })) {
      it(`IN leaves nothing behind at any point (${kind}, ${way})`, async () => {
        const copyAt = steps.findIndex((step) => [simple[0], extended[1], piped[0]].includes(step));
        for (const sent of prefixes(steps)) {
          for (const tail of [[], [halfMessage], [halfLongMessage]]) {
            for (const waits of [false, true]) {
              const client = await RawClient.logIn(there);
              client.send(...sent.slice(0, copyAt + 1));
              if (waits && sent.length > copyAt) await client.until('G');
              client.send(...sent.slice(copyAt + 1), ...tail);
              leave(client);
              // A Terminate in the middle of a message is only more of that message.
              if (tail.length > 0) client.destroy();
              await client.closed();
            }
          }
        }
        await expectClean(cluster, proxy);
        expect(await numbers()).toEqual([]);
      });
    }

    it(`IN behind its end: it is kept or not, as a whole (${way})`, async () => {
      const client = await RawClient.logIn(there);
      client.send(...simple);
      await client.until('G');
      client.send(copyDone);
      leave(client);
      await expectClean(cluster, proxy);
      expect([[], [1, 2]]).toContainEqual(await numbers());
    });

    it(`IN of a COPY that fails leaves nothing behind (${way})`, async () => {
      for (const end of [copyFail('no'), copyData(Buffer.from('no number\n'))]) {
        for (const steps of [simple, extended, piped]) {
          const client = await RawClient.logIn(there);
          client.send(...steps, end);
          await client.until('G');
          leave(client);
        }
      }
      await expectClean(cluster, proxy);
      expect(await numbers()).toEqual([]);
    });

    const rows = "copy (select repeat('x', 1000) from generate_series(1, 3000000)) to stdout";
    const copyOut: Record<string, readonly Buffer[]> = {
      simple: [query(rows)],
      extended: [parse('', rows), bind(), execute(), sync],
      'without Sync': [parse('', rows), bind(), execute(), flush],
      'in a transaction': [query('begin'), query(rows)],
    };
    for (const [kind, pieces] of Object.entries(copyOut)) {
      it(`OUT leaves nothing behind (${kind}, ${way})`, async () => {
        for (const bytes of [0, 1, 1_000, 10_000_000]) {
          const client = await RawClient.logIn(there);
          const before = client.bytesRead;
          client.send(...pieces);
          await client.when(() => client.bytesRead >= before + bytes, `${bytes} bytes`);
          if (way === 'Terminate') client.pause();
          leave(client);
          if (way === 'Terminate') client.destroy();
        }
      });
    }
  }
});

describe('a disconnect', () => {
  it('in a transaction rolls it back and frees its locks', async () => {
    for (const leave of Object.values(ways)) {
      const client = await RawClient.logIn(there);
      const frames = await client.ask(
        query('begin; insert into target values (1); lock target in access exclusive mode'),
      );
      expect(describeFrames(frames).at(-1)).toBe('Z:T');
      leave(client);
      await expectClean(cluster, proxy);
      expect(await numbers()).toEqual([]);
    }
  });

  it('in a failed transaction ends it', async () => {
    const client = await RawClient.logIn(there);
    const frames = await client.ask(query('begin; insert into target values (1); select 1/0'));
    expect(describeFrames(frames).at(-1)).toBe('Z:E');
    client.destroy();
    await expectClean(cluster, proxy);
    expect(await numbers()).toEqual([]);
  });

  it('behind a BEGIN that was not followed by anything', async () => {
    const client = await RawClient.logIn(there);
    await client.ask(query('begin'));
    client.destroy();
  });

  const reads: Record<string, readonly Buffer[]> = {
    'a Query': [query(longRead)],
    'an Execute': [parse('', longRead), bind(), execute(), sync],
    'an Execute without Sync': [parse('', longRead), bind(), execute(), flush],
    'a transaction': [query('begin'), query('insert into target values (1)'), query(longRead)],
    'a READ ONLY transaction': [query('begin read only'), query(longRead)],
  };
  for (const [name, pieces] of Object.entries(reads)) {
    it(`in a read that runs cancels it on the server (${name})`, async () => {
      for (const leave of Object.values(ways)) {
        const client = await RawClient.logIn(there);
        client.send(...pieces);
        await runs(longRead);
        leave(client);
        // As on PostgreSQL, a Terminate is read when its turn comes; the end is noticed at once.
        client.destroy();
        await expectClean(cluster, proxy);
        expect(await numbers()).toEqual([]);
      }
    });
  }

  const slowInsert = 'insert into target select 7 from pg_sleep(1)';
  const writes: Record<string, readonly Buffer[]> = {
    'a Query': [query(slowInsert)],
    'an Execute': [parse('', slowInsert), bind(), execute(), sync],
  };
  for (const [name, pieces] of Object.entries(writes)) {
    it(`in a write that runs lets it be done (${name})`, async () => {
      for (const leave of [ways.close!, ways['half-close']!]) {
        const client = await RawClient.logIn(there);
        client.send(...pieces);
        await runs(slowInsert);
        leave(client);
        await expectClean(cluster, proxy);
        expect(await numbers()).toEqual([7]);
        await cluster.primary.query('truncate target');
      }
    });
  }

  it('in a batch without Sync rolls back what it has done', async () => {
    const insert = [parse('', 'insert into target values (3)'), bind(), execute()];
    for (const leave of Object.values(ways)) {
      const client = await RawClient.logIn(there);
      client.send(...insert, flush);
      await client.until('C');
      leave(client);
      const slow = await RawClient.logIn(there);
      slow.send(parse('', slowInsert), bind(), execute(), flush);
      await runs(slowInsert);
      leave(slow);
      const failed = await RawClient.logIn(there);
      failed.send(...insert, parse('', 'selec'), flush);
      await failed.until('E');
      leave(failed);
      const collected = await RawClient.logIn(there);
      collected.send(...insert);
      leave(collected);
      await expectClean(cluster, proxy);
      expect(await numbers()).toEqual([]);
    }
  });

  it('with a pinned session closes its server connection', async () => {
    const client = await RawClient.logIn(there);
    await client.ask(query('create temp table mine (n int)'));
    await client.ask(query('listen something'));
    client.destroy();
    await expectClean(cluster, proxy);
    const temporary = await cluster.primary.query(
      "select from pg_class where relname = 'mine' and relpersistence = 't'",
    );
    expect(temporary).toEqual([]);
  });

  it('while it waits for a server connection leaves the queue', async () => {
    for (const [index, leave] of Object.values(ways).entries()) {
      const holders: RawClient[] = [];
      for (let i = 0; i < poolSize; i++) {
        const holder = await RawClient.logIn(there);
        await holder.ask(query(`begin; insert into target values (${100 + i})`));
        holders.push(holder);
      }
      const waiting = (count: number) =>
        eventually(
          async () =>
            (await busyPools(proxy.httpUrl)).filter((line) => line.includes('waiting')).length ===
            count,
          `${count} queues with waiters`,
        );
      const client = await RawClient.logIn(there);
      client.send(query('insert into target values (4)'));
      await waiting(1);
      leave(client);
      // A Terminate is read when its turn comes, the end of the connection at once.
      if (index === Object.keys(ways).indexOf('Terminate')) client.destroy();
      await waiting(0);
      for (const holder of holders) {
        await holder.ask(query('rollback'));
        holder.destroy();
      }
      await expectClean(cluster, proxy);
      expect(await numbers()).toEqual([]);
    }
  });

  it('while it waits for a fresh replica leaves the gate', async () => {
    const target = { ...there, host: patientProxy.host, port: patientProxy.port };
    const waiters = async (count: number) =>
      eventually(async () => {
        const metrics = await (await fetch(`${patientProxy.httpUrl}/metrics`)).text();
        return metrics.includes(`\ntidemark_gate_waiters ${count}\n`);
      }, `${count} wait at the gate`);
    for (const replica of cluster.replicas) await replica.pauseReplay();
    try {
      for (const leave of [ways.close!, ways.reset!, ways['half-close']!]) {
        const client = await RawClient.logIn(target);
        await client.ask(query('insert into target values (5)'));
        client.send(query('select n from target'));
        await waiters(1);
        leave(client);
        await waiters(0);
        await cluster.primary.query('delete from target');
      }
    } finally {
      for (const replica of cluster.replicas) await replica.resumeReplay();
    }
    await expectClean(cluster, patientProxy);
  });

  it('in the middle of a message, however long', async () => {
    const tail = Buffer.from('a\0b\0select 1 --');
    for (const type of ['Q', 'P', 'B', 'F', 'd', 'E']) {
      for (const [length, sent] of [
        [9_000, 100],
        [900_000, 800_000],
        [9_000_000, 10_000],
        [9_000_000, 8_900_000],
      ] as const) {
        if (type === 'E' && length > 10_000) continue;
        for (const before of [[], [query('begin'), query('insert into target values (6)')]]) {
          const client = await RawClient.logIn(there);
          client.send(...before, rawHeader(type, length), tail);
          await client.sendSlowly(Buffer.alloc(sent, 'x'));
          client.destroy();
        }
      }
    }
    await expectClean(cluster, proxy);
    expect(await numbers()).toEqual([]);
  });
});
