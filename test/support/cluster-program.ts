/**
 * The embedded cluster as a program of its own, for tests that kill programs:
 * `node --import tsx cluster-program.ts DATA_DIR REPLICAS`. Prints one JSON line when the cluster
 * is up, or when it cannot be; SIGTERM and SIGINT stop it, SIGUSR2 ends it without stop().
 */
import { startEmbeddedCluster } from '../../src/embedded/start-embedded-cluster.ts';

const [dataDir = '', replicas = '0'] = process.argv.slice(2);
const abort = new AbortController();
for (const name of ['SIGTERM', 'SIGINT'] as const) process.on(name, () => abort.abort());
process.on('SIGUSR2', () => process.exit(3));

const progress: string[] = [];
try {
  const cluster = await startEmbeddedCluster({
    dataDir,
    replicas: Number(replicas),
    progress: (line) => progress.push(line),
    signal: abort.signal,
  });
  console.log(JSON.stringify({ ...cluster, progress }));
  const running = setInterval(() => undefined, 1_000);
  if (!abort.signal.aborted) {
    await new Promise((resolve) => abort.signal.addEventListener('abort', resolve));
  }
  clearInterval(running);
  await cluster.stop();
} catch (error) {
  console.log(JSON.stringify({ error: (error as Error).message, progress }));
  process.exitCode = 1;
}
