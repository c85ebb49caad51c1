import { type Metric, Registry } from 'prom-client';
import { bucketBoundsMs, type DurationHistogram } from '../session/duration-histogram.ts';

export type Labels = Readonly<Record<string, string>>;
/** One series at the moment of the scrape. */
export type Series<T> = readonly [labels: Labels, value: T];
type Read<T> = () => Iterable<Series<T>>;

type Type = 'counter' | 'gauge' | 'histogram';
/** What becomes of the values of a series that several processes have; names as prom-client has them. */
export type Merge = 'sum' | 'min' | 'max' | 'first';

/** A line of the text format. */
interface Sample {
  readonly labels: Labels;
  readonly value: number;
  /** Where it is not the metric's own. */
  readonly metricName?: string;
}

/** What Registry asks a metric for; prom-client's own classes have the same. */
interface MetricObject {
  readonly name: string;
  readonly help: string;
  readonly type: Type;
  readonly aggregator: Merge;
  get(): Promise<Omit<MetricObject, 'get'> & { readonly values: readonly Sample[] }>;
}

/**
 * Metrics that are read from their owners' plain numbers when somebody scrapes. prom-client's
 * counters and histograms keep numbers of their own and want to be told of every change.
 */
export class MetricSet {
  readonly registry = new Registry();

  counter(name: `tidemark_${string}_total`, help: string, read: Read<number>): void {
    this.#add({ name, help, type: 'counter', aggregator: 'sum' }, () => [...read()].map(toSample));
  }

  /** `aggregator`: what several processes say together. */
  gauge(
    name: `tidemark_${string}`,
    help: string,
    read: Read<number>,
    aggregator: Merge = 'sum',
  ): void {
    this.#add({ name, help, type: 'gauge', aggregator }, () => [...read()].map(toSample));
  }

  /** The buckets are in seconds, as Prometheus has it. */
  histogram(name: `tidemark_${string}_seconds`, help: string, read: Read<DurationHistogram>): void {
    this.#add({ name, help, type: 'histogram', aggregator: 'sum' }, () =>
      [...read()].flatMap(([labels, histogram]) => histogramSamples(name, labels, histogram)),
    );
  }

  #add(about: Omit<MetricObject, 'get'>, read: () => readonly Sample[]): void {
    const metric: MetricObject = { ...about, get: async () => ({ ...about, values: read() }) };
    // Its declarations know no metrics but its own classes.
    this.registry.registerMetric(metric as unknown as Metric);
  }
}

/** The one series of a metric without labels. */
export function single(value: number): readonly Series<number>[] {
  return [[{}, value]];
}

function toSample([labels, value]: Series<number>): Sample {
  return { labels, value };
}

function histogramSamples(name: string, labels: Labels, histogram: DurationHistogram): Sample[] {
  const counts = histogram.cumulativeCounts();
  const buckets = counts.map((value, bucket): Sample => {
    const boundMs = bucketBoundsMs[bucket];
    const le = boundMs === undefined ? '+Inf' : String(boundMs / 1000);
    return { metricName: `${name}_bucket`, labels: { le, ...labels }, value };
  });
  return [
    ...buckets,
    { metricName: `${name}_sum`, labels, value: histogram.sumMs / 1000 },
    { metricName: `${name}_count`, labels, value: counts.at(-1)! },
  ];
}
