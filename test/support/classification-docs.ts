import { readFileSync } from 'node:fs';

export interface Row {
  readonly sql: string;
  /** What stands in the other columns. */
  readonly cells: readonly string[];
}

/** The rows of the tables in a page of docs that have these columns; the first is a statement. */
function rowsOf(page: string, ...columns: readonly string[]): Row[] {
  // Columns may be padded.
  const header = new RegExp(`^\\| ${columns.join(' +\\| ')} +\\|$`);
  const markdown = readFileSync(new URL(`../../docs/${page}.md`, import.meta.url), 'utf8');
  const rows: Row[] = [];
  let inTable = false;
  for (const line of markdown.split('\n')) {
    if (header.test(line)) inTable = true;
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

/** Cells: class, reason, effect, READ ONLY, by hint. */
export const classificationRows: readonly Row[] = rowsOf(
  ...([
    'classification',
    'Statement',
    'Class',
    'Reason',
    'Effect',
    'READ ONLY',
    'By hint',
  ] as const),
);

/** Cells: who answers, why. */
export const introspectionRows: readonly Row[] = rowsOf(
  ...(['introspection', 'Question', 'Answered by', 'Why'] as const),
);
