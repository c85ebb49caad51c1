/**
 * Loaded into a proxy's process before the proxy (`node --expose-gc --import cost-probe.mjs`): counts
 * what it writes to sockets and what it allocates, and answers each message of its parent with the
 * counts so far. JavaScript, because the proxy's own process runs what users run: no loader.
 */
import { Socket } from 'node:net';
import { PerformanceObserver } from 'node:perf_hooks';

const counts = { clientWrites: 0, serverWrites: 0, collections: 0 };

/** Those that connect to a server; clients' have been accepted. */
const toServers = new WeakSet();

/** Each call is one system call: what was corked goes out by _writev. */
function count(socket) {
  if (toServers.has(socket)) counts.serverWrites += 1;
  else counts.clientWrites += 1;
}

const { connect, _write, _writev } = Socket.prototype;
Socket.prototype.connect = function markedConnect(...args) {
  toServers.add(this);
  return connect.apply(this, args);
};
Socket.prototype._write = function countedWrite(chunk, encoding, done) {
  count(this);
  return _write.call(this, chunk, encoding, done);
};
Socket.prototype._writev = function countedWritev(chunks, done) {
  count(this);
  return _writev.call(this, chunks, done);
};

new PerformanceObserver((list) => {
  counts.collections += list.getEntries().length;
}).observe({ entryTypes: ['gc'] });

process.on('message', async (command) => {
  if (command === 'collect') globalThis.gc();
  // Observers are told of a collection in a later turn.
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
  const { heapUsed, arrayBuffers } = process.memoryUsage();
  process.send({ ...counts, heapUsed, arrayBuffers });
});
process.channel.unref();
process.on('disconnect', () => process.exit());
