import { type Logger, pino } from 'pino';
import type { LogConfig, NodeConfig } from './config.ts';

export type { Logger } from 'pino';

const stderr = 2;

/**
 * A logger that writes JSON lines to stderr; stdout is for what people read.
 * Writes are synchronous, so that the last lines before an exit are not lost.
 */
export function createLogger(config: Pick<LogConfig, 'level'>): Logger {
  return pino(
    {
      level: config.level,
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
    },
    pino.destination({ dest: stderr, sync: true }),
  );
}

/** A node as a URL without its password. */
export function nodeUrlForLog(node: NodeConfig): string {
  const host = node.host.includes(':') ? `[${node.host}]` : node.host;
  return `postgres://${encodeURIComponent(node.user)}@${host}:${node.port}/${encodeURIComponent(node.database)}`;
}
