import type { Placed } from './placement.ts';
import type { Request } from './request.ts';
import type { LastRoute } from './runner-owner.ts';
import type { SessionContext } from './session-context.ts';

/** Counts where a session's requests go, and remembers the last for SHOW tidemark.route. */
export class RouteLog {
  last: LastRoute | null = null;
  readonly #context: SessionContext;

  constructor(context: SessionContext) {
    this.#context = context;
  }

  note(
    { node, reason, waitedMs }: Placed,
    request: Request | null,
    nowMs = this.#context.monitor.now(),
  ): void {
    const { routes, monitor, config, cluster, log } = this.#context;
    routes.count(node, reason);
    if (waitedMs > 0) routes.placedAfter(waitedMs, reason);
    const stalenessMs = monitor.stalenessMs(node, nowMs);
    this.last = { node, reason, waitedMs, stalenessMs };
    if (config.log.statements) {
      // The tag only: the text may hold secrets.
      const statement = request?.classified?.statements[0]?.tag ?? null;
      const name = cluster.nodes[node]?.name;
      log.info({ statement, node: name, reason, waitedMs, stalenessMs }, 'statement');
    }
  }
}
