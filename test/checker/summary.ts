import { type Consistency, consistencyLevels } from '../../src/config.ts';
import type { Verdict } from './analysis.ts';
import { type LevelCounts, noCounts } from './recorder.ts';
import type { Round } from './round.ts';
import type { Rule, Violation } from './violation.ts';

/** What one or several rounds did and found. */
export class Summary {
  operations = 0;
  tookMs = 0;
  rounds = 0;
  sessions = 0;
  promotions = 0;
  tokensTaken = 0;
  violationCount = 0;
  earlySightings = 0;
  lostWrites = 0;
  readonly violations: Violation[] = [];
  readonly writes = { acknowledged: 0, failed: 0, unknown: 0 };
  readonly levels = new Map<Consistency, LevelCounts>();
  readonly checks = new Map<Rule, number>();
  readonly faults = new Map<string, number>();
  readonly writeErrors = new Map<string, number>();
  readonly otherErrors = new Map<string, number>();

  add({ history, recorder, faults, tookMs }: Round, verdict: Verdict): void {
    this.rounds += 1;
    this.operations += history.operations.length;
    this.tookMs += tookMs;
    this.sessions += recorder.sessions;
    this.promotions += history.promotions.length;
    this.tokensTaken += recorder.tokensTaken;
    this.violationCount += verdict.violationCount;
    this.earlySightings += verdict.earlySightings;
    this.lostWrites += verdict.lostWrites;
    this.violations.push(...verdict.violations);
    this.writes.acknowledged += recorder.writes.acknowledged;
    this.writes.failed += recorder.writes.failed;
    this.writes.unknown += recorder.writes.unknown;
    addAll(this.checks, verdict.checks);
    addAll(this.faults, faults);
    addAll(this.writeErrors, recorder.writeErrors);
    addAll(this.otherErrors, recorder.otherErrors);
    for (const [level, counts] of recorder.levels) this.#addLevel(level, counts);
  }

  level(level: Consistency): LevelCounts {
    const known = this.levels.get(level) ?? noCounts();
    this.levels.set(level, known);
    return known;
  }

  shareOnReplicas(level: Consistency): number {
    const { reads, onReplicas } = this.level(level);
    return onReplicas / reads;
  }

  text(): string {
    const seconds = this.tookMs / 1_000;
    const rate = Math.round(this.operations / seconds);
    const { acknowledged, failed, unknown } = this.writes;
    return [
      `${this.operations} operations in ${seconds.toFixed(0)} s (${rate}/s), ${this.rounds} rounds, ${this.sessions} sessions`,
      'level     reads    on replicas  waited  with token (of the other proxy)  errors',
      ...consistencyLevels.map((level) => this.#levelLine(level)),
      `writes: ${acknowledged} acknowledged, ${failed} failed or rolled back, ${unknown} of unknown outcome; errors: ${list(this.writeErrors)}`,
      `settings and tokens: ${this.tokensTaken} tokens taken; errors: ${list(this.otherErrors)}`,
      `faults: ${list(this.faults)}`,
      `held to demands: ${list(this.checks)}`,
      `promotions lost ${this.lostWrites} acknowledged writes; commits seen early on a replica: ${this.earlySightings}`,
      `violations: ${this.violationCount}`,
    ].join('\n');
  }

  #levelLine(level: Consistency): string {
    const counts = this.level(level);
    const { reads, asked, waited, withToken, withForeignToken, errors } = counts;
    const share = `${(100 * this.shareOnReplicas(level)).toFixed(1)} %`;
    const waits = `${((100 * waited) / asked).toFixed(1)} %`;
    return [
      level.padEnd(9),
      String(reads).padEnd(8),
      share.padEnd(12),
      waits.padEnd(7),
      `${withToken} (${withForeignToken})`.padEnd(32),
      list(errors),
    ].join(' ');
  }

  #addLevel(level: Consistency, counts: LevelCounts): void {
    const sum = this.level(level);
    sum.reads += counts.reads;
    sum.onReplicas += counts.onReplicas;
    sum.asked += counts.asked;
    sum.waited += counts.waited;
    sum.withToken += counts.withToken;
    sum.withForeignToken += counts.withForeignToken;
    addAll(sum.errors, counts.errors);
  }
}

function addAll<Name extends string>(sum: Map<Name, number>, counts: ReadonlyMap<Name, number>) {
  for (const [name, count] of counts) sum.set(name, (sum.get(name) ?? 0) + count);
}

function list(counts: ReadonlyMap<string, number>): string {
  if (counts.size === 0) return 'none';
  return [...counts]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([name, count]) => `${name} ${count}`)
    .join(', ');
}
