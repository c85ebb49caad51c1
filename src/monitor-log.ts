import type { NodeConfig } from './config.ts';
import type { MonitorEvent } from './lag/monitor-event.ts';
import type { Logger } from './log.ts';

/** One line for each change of a node's state. */
export function logMonitorEvent(
  log: Logger,
  event: MonitorEvent,
  nodes: readonly NodeConfig[],
): void {
  const { type, node, ...facts } = event;
  const line = { ...facts, node: nodes[node]?.name ?? null };
  switch (type) {
    case 'node-down':
    case 'node-fenced':
    case 'replica-ineligible':
      log.warn(line, type);
      return;
    default:
      log.info(line, type);
  }
}
