/**
 * A proxy as a program of its own, for tests that look at its process:
 * `node --import tsx proxy-program.ts NODES OPTIONS`, both as JSON. Prints one JSON line with its
 * addresses; ends with its input, so that it does not outlive the test process.
 */
import type { TestCluster } from './cluster.ts';
import { startTestProxy } from './proxy.ts';

const [nodes = '[]', options = '{}'] = process.argv.slice(2);
const cluster = { nodes: JSON.parse(nodes) } as TestCluster;
const proxy = await startTestProxy(cluster, JSON.parse(options));
const { host, port, url, httpUrl } = proxy;
console.log(JSON.stringify({ host, port, url, httpUrl }));
process.stdin.resume();
process.stdin.on('end', () => {
  proxy.stop().then(
    () => {
      process.exitCode = 0;
    },
    (error) => {
      console.error(error);
      process.exitCode = 1;
    },
  );
});
