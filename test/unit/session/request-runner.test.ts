import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Settings, settingFromSet } from '../../../src/pool/settings.ts';
import {
  commandComplete,
  errorResponse,
  parseComplete,
  readyForQueryIdle,
  readyForQueryInTransaction,
} from '../../../src/protocol/backend.ts';
import * as frontend from '../../../src/protocol/frontend.ts';
import { ProtocolError } from '../../../src/protocol/protocol-error.ts';
import { loadParser } from '../../../src/router/parser.ts';
import type { Request } from '../../../src/session/request.ts';
import { type FakeServer, frameTypes } from '../pool/fake-server.ts';
import { ExtendedModel, unparsableText } from './extended-model.ts';
import { FakeNodes, FakeServers, settle } from './fake-cluster.ts';
import { FakeSession, fakeContext } from './fake-session.ts';

beforeAll(loadParser);

/** A primary (node 0) and two replicas with a backend's model behind each. */
function setUp() {
  const nodes = new FakeNodes(['primary', 'replica', 'replica']);
  nodes.eligible.delete(2);
  const servers = new FakeServers(3);
  const models = [0, 1, 2].map(() => new ExtendedModel());
  const session = new FakeSession(fakeContext(nodes, servers), servers);
  const { runner, owner, state } = session;
  const run = (...messages: Buffer[]): Request => {
    const request = session.request(...messages);
    runner.run(request);
    return request;
  };
  const server = (node: number): FakeServer => servers.opened[node]![0]!;
  /** Opens what is being opened; the backends read what was sent and answer. */
  const flow = async () => {
    for (let rounds = 0; rounds < 5; rounds++) {
      for (const [node, model] of models.entries()) {
        while (servers.pending[node]!.length > 0) await servers.accept(node);
        for (const { socket, connection } of servers.opened[node]!) {
          const replies = model.answer(Buffer.concat(socket.written.splice(0)));
          if (replies.length > 0 && connection.closedFor === null) socket.deliver(replies);
        }
      }
      await settle();
    }
  };
  /** Only opens. */
  const accept = async (node: number) => {
    if (servers.pending[node]!.length > 0) await servers.accept(node);
  };
  return { nodes, servers, models, session, runner, owner, run, flow, accept, server, state };
}

let all: ReturnType<typeof setUp>;
beforeEach(() => {
  all = setUp();
});

const { bind, execute, flush, parse, sync } = frontend;
const readOnlyRefusal = errorResponse({ severity: 'ERROR', sqlstate: '25006', message: 'no' });

describe('a batch that turns out to write', () => {
  it('moves to the primary, and loses none of the answers it had coming', async () => {
    const { runner, owner, run, flow, accept, models, server } = all;
    run(parse('r', 'select 1'), flush);
    await accept(1);
    run(parse('w', 'insert into t values (1)'), bind({ statement: 'w' }), execute(), sync);
    await flow();
    expect(owner.types).toBe('112CZ');
    expect(runner.lastRoute?.node).toBe(0);
    expect(models[0]!.parsed).toEqual(['insert into t values (1)']);
    expect(server(1).connection.isReleasable).toBe(true);
    expect(owner.events).toEqual(['answered']);
  });

  it('stays, ignored, where the server has refused what came before', async () => {
    const { owner, run, flow, accept, models } = all;
    run(parse('r', unparsableText), flush);
    await accept(1);
    run(parse('w', 'insert into t values (1)'), bind({ statement: 'w' }), execute(), sync);
    await flow();
    expect(owner.types).toBe('EZ');
    expect(models[0]!.parsed).toEqual([]);
  });

  it('is told when the server goes away before it answers', async () => {
    const { owner, run, accept, server } = all;
    run(parse('r', 'select 1'), flush);
    await accept(1);
    run(parse('w', 'insert into t values (1)'), bind({ statement: 'w' }), execute(), sync);
    server(1).connection.close('server-closed');
    expect(owner.events).toHaveLength(1);
    expect(owner.events[0]).toMatch(/^failed/);
  });

  it('is forgotten with its client', async () => {
    const { runner, run, flow, accept, models, server } = all;
    run(parse('r', 'select 1'), flush);
    await accept(1);
    run(parse('w', 'insert into t values (1)'), bind({ statement: 'w' }), execute(), sync);
    runner.close(false, false);
    await flow();
    expect(models[0]!.parsed).toEqual([]);
    expect(server(1).connection.isReleasable).toBe(true);
  });
});

describe('a read that a replica refuses as a write', () => {
  it('runs on the primary, unseen, and is remembered', async () => {
    const { owner, run, flow, accept, runner, server } = all;
    run(parse('', 'select 1'), bind(), execute(), sync);
    await accept(1);
    server(1).socket.written.length = 0;
    server(1).socket.deliver(readOnlyRefusal);
    server(1).socket.deliver(readyForQueryIdle);
    await flow();
    expect(owner.types).toBe('12CZ');
    expect(runner.lastRoute).toMatchObject({ node: 0, reason: 'retry-refused' });
    run(parse('', 'select 2'), bind(), execute(), sync);
    await flow();
    expect(runner.lastRoute).toMatchObject({ node: 0, reason: 'learned-write' });
  });
});

describe('a SET that a replica refuses', () => {
  it('runs on the primary, which may know what the replica has not heard of yet', async () => {
    const { owner, run, flow, accept, runner, server } = all;
    run(frontend.query('set role fresh'));
    await accept(1);
    server(1).socket.written.length = 0;
    const message = 'role "fresh" does not exist';
    server(1).socket.deliver(errorResponse({ severity: 'ERROR', sqlstate: '22023', message }));
    server(1).socket.deliver(readyForQueryIdle);
    await accept(0);
    expect(runner.lastRoute).toMatchObject({ node: 0, reason: 'retry-session' });
    server(0).socket.deliver(Buffer.concat([commandComplete('SET'), readyForQueryIdle]));
    await flow();
    expect(owner.types).toBe('CZ');
    run(frontend.query('set role fresh'));
    await flow();
    expect(runner.lastRoute).toMatchObject({ reason: 'session' });
  });
});

describe('a role that a replica does not know', () => {
  const refusal = errorResponse({ severity: 'ERROR', sqlstate: '22023', message: 'no such role' });

  beforeEach(() => {
    all.state.settings = Settings.of([['role', settingFromSet('role', "'fresh'")]]);
  });

  it('is taken on the primary instead', async () => {
    const { owner, run, accept, runner, server } = all;
    run(frontend.query('reset role'));
    await accept(1);
    server(1).socket.deliver(Buffer.concat([refusal, readyForQueryIdle]));
    await accept(0);
    server(0).socket.deliver(Buffer.concat([commandComplete('SET'), readyForQueryIdle]));
    expect(runner.lastRoute).toMatchObject({ node: 0, reason: 'retry-session' });
    server(0).socket.deliver(Buffer.concat([commandComplete('RESET'), readyForQueryIdle]));
    expect(owner.types).toBe('CZ');
    expect(server(1).connection.isReleasable).toBe(true);
  });

  it('is refused when the primary does not know it either', async () => {
    const { owner, run, accept, server } = all;
    run(frontend.query('reset role'));
    await accept(1);
    server(1).socket.deliver(Buffer.concat([refusal, readyForQueryIdle]));
    await accept(0);
    server(0).socket.deliver(Buffer.concat([refusal, readyForQueryIdle]));
    expect(owner.events).toEqual(['failed settingsRefused']);
  });
});

describe('a read on a connection that is lost', () => {
  it('runs again elsewhere before the client saw anything, not after', async () => {
    const { owner, run, flow, accept, runner, server, nodes } = all;
    nodes.eligible.add(2);
    run(parse('', 'select 1'), bind(), execute(), sync);
    await accept(1);
    await accept(2);
    const first = runner.lastRoute!.node;
    server(first).connection.close('server-closed');
    await flow();
    expect(owner.types).toBe('12CZ');
    expect(runner.lastRoute!.node).not.toBe(first);
    expect(nodes.nudged).toEqual([first]);
  });
});

describe('on a connection that is lost in a transaction', () => {
  /** Sends a statement in it, and hears nothing. */
  async function lose(sql: string) {
    const { run, accept, server, state } = all;
    run(frontend.query('begin; insert into t values (1)'));
    await accept(0);
    const tags = [commandComplete('BEGIN'), commandComplete('INSERT 0 1')];
    server(0).socket.deliver(Buffer.concat([...tags, readyForQueryInTransaction]));
    expect(state.inTransaction).toBe(true);
    run(frontend.query(sql));
    server(0).connection.close('server-closed');
    expect(all.owner.events.at(-1)).toBe('failed serverLost');
    return state.inTransaction;
  }

  it.each([
    ['commit', false],
    ['rollback', false],
    ['insert into t values (2)', true],
    ['commit and chain', true],
  ])('%s leaves a transaction to be rolled back: %s', async (sql, isLeft) => {
    expect(await lose(sql)).toBe(isLeft);
  });
});

describe('a request that runs again', () => {
  it('may make the name that the server before had confirmed', async () => {
    const { owner, run, flow, accept, server, models } = all;
    run(parse('s', 'select 1'), bind({ statement: 's' }), execute(), sync);
    await accept(1);
    // It prepares what it is sent, and refuses only to run it.
    models[1]!.answer(Buffer.concat(server(1).socket.written));
    server(1).socket.written.length = 0;
    server(1).socket.deliver(Buffer.concat([parseComplete, readOnlyRefusal, readyForQueryIdle]));
    await flow();
    expect(owner.types).toBe('12CZ');
    expect(models[0]!.parsed).toEqual(['select 1']);
    run(bind({ statement: 's' }), execute(), sync);
    await flow();
    expect(owner.types).toBe('12CZ2CZ');
  });

  it('is the part of a batch that nothing was sent behind', async () => {
    const { owner, run, flow, accept, server } = all;
    run(parse('s', 'select 1'), flush);
    await accept(1);
    server(1).connection.close('server-closed');
    await flow();
    expect(owner.events).toEqual([]);
    expect(owner.types).toBe('1');
  });

  it('is not one that the client has gone on from', async () => {
    const { owner, run, accept, server } = all;
    run(parse('s', 'select 1'), flush);
    await accept(1);
    owner.hasBegunNext = true;
    server(1).connection.close('server-closed');
    expect(owner.events).toEqual(['failed readLost']);
    expect(owner.lacksSync).toBe(true);
  });
});

describe('a request on a connection of its own', () => {
  it('leaves at once, as one write', async () => {
    const { run, accept, server } = all;
    const update = 'update t set a = 1';
    run(parse('s', update), bind({ statement: 's' }), execute(), sync);
    await accept(0);
    const { left } = server(0).socket;
    expect(left.map(frameTypes)).toEqual(['PBES']);
  });
});

describe('a request that cannot be sent', () => {
  /** A replica's connection that is idle in its pool, so that the next read is sent at once. */
  async function openReplica() {
    const { run, flow, server, owner } = all;
    run(frontend.query('select 1'));
    await flow();
    expect(owner.types).toBe('CZ');
    return server(1);
  }

  /** The session's next read finds another connection. */
  async function expectAnother({ connection }: FakeServer) {
    const { run, flow, servers, owner } = all;
    expect(connection.closedFor).toBe('session-state');
    owner.chunks.length = 0;
    run(frontend.query('select 2'));
    await flow();
    expect(servers.opened[1]).toHaveLength(2);
    expect(owner.types).toBe('CZ');
  }

  it('costs its server connection, and is the caller’s to deal with', async () => {
    const { run, owner } = all;
    const replica = await openReplica();
    replica.socket.write = () => {
      throw new Error('no room');
    };
    // Too long to be gathered, so that it is written at once, and not too long to be read.
    const long = frontend.query(`select '${'x'.repeat(24 * 1024)}'`);
    expect(() => run(long)).toThrow('no room');
    expect(owner.events).toEqual(['answered', 'gone']);
    await expectAnother(replica);
  });

  it('does not leave the server with the part of it that could be', async () => {
    const { run, flow, owner, runner, session, servers } = all;
    const replica = await openReplica();
    const request = session.request(parse('s', 'select 1'), bind({ statement: 's' }), sync);
    // The server would prepare the statement, and nobody would expect its answer.
    request.at(1).end = request.at(1).start + 6;
    expect(() => runner.run(request)).toThrow(ProtocolError);
    expect(replica.socket.destroyed).toBe(true);
    expect(owner.events).toEqual(['answered', 'gone']);
    await expectAnother(replica);
    run(bind({ statement: 's' }), execute(), sync);
    await flow();
    // It was never made.
    expect(owner.types).toBe('CZEZ');
    expect(servers.prepared.size).toBe(0);
  });
});
