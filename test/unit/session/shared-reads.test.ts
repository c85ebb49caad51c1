import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { commandComplete, readyForQueryIdle } from '../../../src/protocol/backend.ts';
import { query } from '../../../src/protocol/frontend.ts';
import { loadParser } from '../../../src/router/parser.ts';
import { Pace } from '../../../src/session/pace.ts';
import { SharedReads } from '../../../src/session/shared-reads.ts';
import { frameTypes } from '../pool/fake-server.ts';
import { FakeNodes, FakeServers } from './fake-cluster.ts';
import { FakeSession, fakeContext, login } from './fake-session.ts';

beforeAll(loadParser);

const answer = Buffer.concat([commandComplete('SELECT 0'), readyForQueryIdle]);

function shortPace(): Pace {
  const pace = new Pace();
  pace.note(0.1, 10, 0);
  return pace;
}

/** Sessions that share the reads of one replica with an open connection. */
async function setUp() {
  const nodes = new FakeNodes(['primary', 'replica']);
  const servers = new FakeServers(2);
  const context = fakeContext(nodes, servers);
  const session = () => {
    const one = new FakeSession(context, servers);
    const reads = new SharedReads(context, login, one.client, one.runner, one.owner);
    const read = () => reads.tryRun(one.request(query('select 1')), shortPace());
    return { read, owner: one.owner };
  };
  servers.pools[1]!.acquire(
    (connection) => servers.pools[1]!.release(connection),
    () => {},
  );
  const { socket } = await servers.accept(1);
  const left = () => frameTypes(Buffer.concat(socket.left.splice(0)));
  return { session, socket, left };
}

let all: Awaited<ReturnType<typeof setUp>>;
beforeEach(async () => {
  all = await setUp();
});

describe('a read that shares a server connection', () => {
  it('leaves at once where no other is under way', () => {
    const { session, left } = all;
    expect(session().read()).toBe(true);
    expect(left()).toBe('Q');
  });

  it('leaves with those of the same turn where others are', () => {
    const { session, socket, left } = all;
    const sessions = [session(), session(), session()];
    for (const { read } of sessions) expect(read()).toBe(true);
    expect(left()).toBe('Q');
    socket.turnEnds();
    expect(left()).toBe('QQ');
    socket.deliver(answer, answer, answer);
    for (const { owner } of sessions) {
      expect(owner.types).toBe('CZ');
      expect(owner.events).toEqual(['answered']);
    }
  });

  it('leaves at once again when all are answered', () => {
    const { session, socket, left } = all;
    const [one, other] = [session(), session()];
    one.read();
    other.read();
    socket.turnEnds();
    socket.deliver(answer, answer);
    left();
    other.read();
    expect(left()).toBe('Q');
  });
});
