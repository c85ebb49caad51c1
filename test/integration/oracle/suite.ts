import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Classifier } from '../../../src/router/classifier.ts';
import type { Classified } from '../../../src/router/statement.ts';
import type { DatabaseCatalog } from '../../../src/session/database-catalog.ts';
import type { TestNode } from '../../support/cluster.ts';
import { classify, isRead, loadedCatalog, Oracle } from './oracle.ts';
import { statementsOf } from './psql-script.ts';

/** What running a suite has shown. */
export class SuiteReport {
  readonly misrouted: string[] = [];
  /** Files that were not run to their ends. */
  readonly abandoned: string[] = [];
  readonly #needless = new Map<string, number>();
  readonly #examples = new Map<string, string[]>();
  statements = 0;
  failed = 0;
  did = 0;
  reads = 0;

  needless(reason: string, sql: string): void {
    this.#needless.set(reason, (this.#needless.get(reason) ?? 0) + 1);
    const examples = this.#examples.get(reason) ?? [];
    if (examples.length < 12) examples.push(sql.replace(/\s+/g, ' ').slice(0, 120));
    this.#examples.set(reason, examples);
  }

  text(): string {
    const { statements, failed, did, reads } = this;
    const lines = [
      `${statements} statements: ${reads} reads, ${did} did something, ${failed} failed`,
    ];
    lines.push('On the primary, and did nothing:');
    for (const [reason, count] of [...this.#needless].sort(([, a], [, b]) => b - a)) {
      lines.push(
        `  ${reason}: ${count}`,
        ...this.#examples.get(reason)!.map((sql) => `    ${sql}`),
      );
    }
    return [...lines, 'Abandoned:', ...this.abandoned, 'Misrouted:', ...this.misrouted].join('\n');
  }
}

/** In the order of the schedule, without those that an environment variable leaves out. */
export function filesOf(suite: string): string[] {
  const schedule = join(suite, 'parallel_schedule');
  const only = process.env.TIDEMARK_ORACLE_FILES?.split(',');
  const names = existsSync(schedule)
    ? readFileSync(schedule, 'utf8')
        .split('\n')
        .filter((line) => line.startsWith('test:'))
        .flatMap((line) => line.slice('test:'.length).trim().split(/\s+/))
    : readdirSync(join(suite, 'sql')).map((name) => name.replace(/\.sql$/, ''));
  return names.filter(
    (name) =>
      existsSync(join(suite, 'sql', `${name}.sql`)) && (only === undefined || only.includes(name)),
  );
}

/** Each file has a session of its own, as under pg_regress, and goes on with what others have left. */
export async function runFile(
  node: TestNode,
  suite: string,
  file: string,
  report: SuiteReport,
): Promise<void> {
  const script = readFileSync(join(suite, 'sql', `${file}.sql`), 'latin1');
  const run = new FileRun(node, file, report);
  await run.start();
  try {
    for (const sql of statementsOf(script, { PG_ABS_SRCDIR: suite })) await run.statement(sql);
  } catch (error) {
    // A script that ends its own connection, for one.
    report.abandoned.push(`${file}: ${error}`);
  } finally {
    await run.stop();
  }
}

class FileRun {
  readonly #node: TestNode;
  readonly #file: string;
  readonly #report: SuiteReport;
  readonly #oracle: Oracle;
  #catalog: DatabaseCatalog | null = null;
  #classifier: Classifier | null = null;
  /** Something ran that may have changed the catalog since it was loaded. */
  #isStale = false;

  constructor(node: TestNode, file: string, report: SuiteReport) {
    this.#node = node;
    this.#file = file;
    this.#report = report;
    this.#oracle = new Oracle(node.url());
  }

  async start(): Promise<void> {
    this.#catalog = await loadedCatalog(this.#node, () => this.#classifier?.catalogChanged());
    this.#classifier = new Classifier({ catalog: this.#catalog });
    await this.#oracle.start();
  }

  async stop(): Promise<void> {
    this.#catalog?.close();
    await this.#oracle.stop();
  }

  async statement(sql: string): Promise<void> {
    const wasInBlock = this.#oracle.inTransactionBlock;
    const classified = await this.#classify(sql, wasInBlock);
    const { deeds, error } = await this.#oracle.inScript(sql);
    const { statements, reason } = classified;
    const report = this.#report;
    report.statements += 1;
    if (error !== null) report.failed += 1;
    if (deeds.length > 0) report.did += 1;
    if (isRead(classified)) {
      report.reads += 1;
      // What a transaction has changed itself is not in the catalog; it stays on the primary.
      const isKnown = !(wasInBlock && this.#isStale);
      if (deeds.length > 0 && isKnown && !isHarmless(sql)) {
        report.misrouted.push(`${this.#file}: ${sql}: ${deeds.join(', ')}`);
      }
    } else if (classified.access === 'write') {
      if (deeds.length === 0 && error === null) report.needless(reason ?? '', sql);
      const changesNothing = statements.every(({ tag, ddl }) => !ddl && tag === 'SELECT');
      if (!changesNothing) this.#isStale = true;
    }
  }

  /** With the catalog as it is, where that could make a difference and can be seen. */
  async #classify(sql: string, isInBlock: boolean): Promise<Classified> {
    const before = classify(this.#classifier!, sql);
    if (!this.#isStale || isInBlock || !before.forcible) return before;
    await this.#catalog!.reload();
    this.#isStale = false;
    return classify(this.#classifier!, sql);
  }
}

function isHarmless(sql: string): boolean {
  return sql.includes('lo_get');
}
