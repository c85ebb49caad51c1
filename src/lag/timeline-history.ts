import { type Lsn, parseLsn } from './lsn.ts';

/** A text that is not a timeline history file. */
export class TimelineHistorySyntaxError extends Error {
  override readonly name = 'TimelineHistorySyntaxError';
}

/** Where a timeline was left for a later one. */
export interface TimelineSwitch {
  readonly timeline: number;
  /** The last position that both have. */
  readonly switchLsn: Lsn;
}

/** A history file names one timeline per promotion: more is no history file. */
const SWITCHES_MAX = 100_000;
const LINE_PATTERN = /^([1-9][0-9]{0,9})\s+([0-9a-fA-F]{1,8}\/[0-9a-fA-F]{1,8})(?:\s|$)/;

/** Which positions of which timelines are part of one timeline's log. Immutable. */
export class TimelineHistory {
  readonly timeline: number;
  readonly switches: readonly TimelineSwitch[];
  readonly #lastLsn = new Map<number, Lsn>();

  /** `switches`: as far as they are known, oldest first. */
  constructor(timeline: number, switches: readonly TimelineSwitch[]) {
    this.timeline = timeline;
    this.switches = switches;
    // A standby that was promoted before it had replayed up to the last switch leaves a history
    // whose later switch lies below an earlier one: the lowest of those that follow counts.
    let lowest: Lsn | null = null;
    for (const { timeline: ancestor, switchLsn } of switches.toReversed()) {
      lowest = lowest === null || switchLsn < lowest ? switchLsn : lowest;
      this.#lastLsn.set(ancestor, lowest);
    }
  }

  /**
   * Reads a history file as readTimeLineHistory() of timeline.c does: `timeline<TAB>LSN<TAB>reason`
   * per line, with comments and blank lines. Throws TimelineHistorySyntaxError.
   */
  static parse(timeline: number, text: string): TimelineHistory {
    const switches: TimelineSwitch[] = [];
    for (const raw of text.split('\n')) {
      const line = raw.trimStart();
      if (line === '' || line.startsWith('#')) continue;
      const found = readSwitch(line);
      const previous = switches.at(-1)?.timeline ?? 0;
      if (found.timeline <= previous || found.timeline >= timeline) {
        throw new TimelineHistorySyntaxError(
          `timeline ${found.timeline} is out of order in the history of timeline ${timeline}`,
        );
      }
      switches.push(found);
      if (switches.length > SWITCHES_MAX) {
        throw new TimelineHistorySyntaxError('the timeline history is too long');
      }
    }
    return new TimelineHistory(timeline, switches);
  }

  /** The history of a timeline that left this one at `switchLsn`. */
  continuedBy(timeline: number, switchLsn: Lsn): TimelineHistory {
    return new TimelineHistory(timeline, [
      ...this.switches,
      { timeline: this.timeline, switchLsn },
    ]);
  }

  /** The last position of an ancestor that is part of this history; null: it is no known ancestor. */
  lastLsnOf(ancestor: number): Lsn | null {
    return this.#lastLsn.get(ancestor) ?? null;
  }

  /** Whether a position of that timeline is part of this history. */
  survives(timeline: number, lsn: Lsn): 'yes' | 'lost' | 'unknown' {
    if (timeline === this.timeline) return 'yes';
    const last = this.lastLsnOf(timeline);
    if (last === null) return 'unknown';
    return lsn <= last ? 'yes' : 'lost';
  }
}

function readSwitch(line: string): TimelineSwitch {
  const match = LINE_PATTERN.exec(line);
  if (match === null) {
    throw new TimelineHistorySyntaxError(
      `not a switch point: ${JSON.stringify(line.slice(0, 60))}`,
    );
  }
  return { timeline: Number(match[1]), switchLsn: parseLsn(match[2]!) };
}
