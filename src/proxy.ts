import { deriveCredentials } from './authentication.ts';
import { banner, type NodeStatus } from './banner.ts';
import type { Address, Config } from './config.ts';
import { startEmbeddedNodes } from './embedded-nodes.ts';
import type { Logger } from './log.ts';
import { RunningProxy } from './running-proxy.ts';
import { alone } from './session/other-workers.ts';

export interface ProxyOptions {
  readonly log: Logger;
  /** Told what goes on during the start, in plain words. */
  readonly progress: (line: string) => void;
}

export interface Proxy {
  readonly listenAddress: Address;
  /** Null when the configuration turns it off. */
  readonly httpAddress: Address | null;
  /** What a person needs to know to use it, several lines. */
  describe(): Promise<string>;
  /** Graceful: sessions may end their transactions first. Resolves when nothing is left. */
  stop(graceful: boolean): Promise<void>;
}

/** What serves the clients: this process, or others that it watches over. */
interface Service extends Omit<Proxy, 'describe'> {
  /** Rejects, with nothing left running, if it cannot. */
  start(progress: ProxyOptions['progress']): Promise<void>;
  nodes(): Promise<readonly NodeStatus[]>;
}

/** Starts everything that `config` asks for. Rejects, with nothing left running, if it cannot. */
export async function startProxy(config: Config, options: ProxyOptions): Promise<Proxy> {
  const embedded = config.embedded && (await startEmbeddedNodes(config.embedded, options.progress));
  const complete =
    embedded === null
      ? config
      : { ...config, nodes: embedded.nodes, users: [...config.users, embedded.user] };
  try {
    const service = await serviceFor(complete, options.log);
    await service.start(options.progress);
    return {
      listenAddress: service.listenAddress,
      httpAddress: service.httpAddress,
      describe: async () => banner(complete, service, await service.nodes()),
      stop: async (graceful) => {
        await service.stop(graceful);
        await embedded?.stop();
      },
    };
  } catch (error) {
    await embedded?.stop();
    throw error;
  }
}

async function serviceFor(config: Config, log: Logger): Promise<Service> {
  const credentials = await deriveCredentials(config);
  if (config.workers === 1) {
    return new RunningProxy(config, {
      log,
      credentials,
      place: { index: 0, count: 1 },
      others: alone,
    });
  }
  // Here and not at the top: one process needs nothing of it.
  const { Supervisor } = await import('./workers/supervisor.ts');
  return new Supervisor(config, credentials, log);
}
