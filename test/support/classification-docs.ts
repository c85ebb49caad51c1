import { readFileSync } from 'node:fs';

/** Columns may be padded. */
const HEADER = /^\| Statement +\| Class +\| Reason +\| Effect +\| READ ONLY +\| By hint +\|$/;

export interface Row {
  readonly sql: string;
  /** Class, reason, effect, READ ONLY, by hint. */
  readonly cells: readonly string[];
}

/** The rows of the tables in docs/classification.md that begin with HEADER. */
function rowsOf(markdown: string): Row[] {
  const rows: Row[] = [];
  let inTable = false;
  for (const line of markdown.split('\n')) {
    if (HEADER.test(line)) inTable = true;
    else if (!line.startsWith('|')) inTable = false;
    else if (inTable && !/^\| *---/.test(line)) {
      const [statement, ...cells] = line
        .split(/(?<!\\)\|/)
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('\\|', '|'));
      rows.push({ sql: statement!.slice(1, -1), cells });
    }
  }
  return rows;
}

export const classificationRows: readonly Row[] = rowsOf(
  readFileSync(new URL('../../docs/classification.md', import.meta.url), 'utf8'),
);
