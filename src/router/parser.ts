import { createRequire } from 'node:module';

import type { Node } from 'libpg-query';

type LibPgQuery = typeof import('libpg-query');

// require, because its cache can be emptied: see reload().
const require = createRequire(import.meta.url);
const MODULE = 'libpg-query';

let module: LibPgQuery | null = null;
let loading: Promise<void> | null = null;

/** Must have resolved before anything is parsed: the grammar is WebAssembly, compiled once. */
export async function loadParser(): Promise<void> {
  if (module !== null) return;
  loading ??= load();
  await loading;
}

async function load(): Promise<void> {
  try {
    const instance = require(MODULE) as LibPgQuery;
    await instance.loadModule();
    module = instance;
  } finally {
    loading = null;
  }
}

export interface ParsedStatement {
  readonly node: Node;
  /** In bytes of UTF-8. */
  readonly start: number;
  /** In bytes; 0: to the end of the text. */
  readonly length: number;
}

/**
 * The statements of a text, or null when the grammar does not accept it or cannot be asked. Blocks
 * for about 0.2 microseconds a byte; the caller bounds length and nesting.
 */
export function parse(text: string): readonly ParsedStatement[] | null {
  if (module === null) return null;
  try {
    const statements: ParsedStatement[] = [];
    for (const { stmt, stmt_location = 0, stmt_len = 0 } of module.parseSync(text).stmts ?? []) {
      if (stmt === undefined) return null;
      statements.push({ node: stmt, start: stmt_location, length: stmt_len });
    }
    return statements;
  } catch (error) {
    if (isBreakdown(error)) reload();
    return null;
  }
}

/** RangeError: the stack overflowed. RuntimeError: a WebAssembly trap. Others are orderly refusals. */
function isBreakdown(error: unknown): boolean {
  return error instanceof Error && (error.name === 'RangeError' || error.name === 'RuntimeError');
}

/**
 * A breakdown leaves the instance in the middle of a call: its stack pointer and its memory are lost,
 * and after some 170 of them every parse fails. A new instance takes over; until it is compiled
 * (some 20 ms) nothing can be parsed, which sends statements to the primary.
 */
function reload(): void {
  module = null;
  delete require.cache[require.resolve(MODULE)];
  // The same file compiled before. Should it fail now, statements keep going to the primary.
  loadParser().catch(() => {});
}
