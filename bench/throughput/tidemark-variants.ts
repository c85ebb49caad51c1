export interface TidemarkVariant {
  readonly key: string;
  readonly name: string;
  /** Shown in the results beside what all variants have in common. */
  readonly settings: Readonly<Record<string, string>>;
  /** Keys of the configuration file; all others are at their defaults. */
  readonly configFor: (size: PoolSizes) => Readonly<Record<string, unknown>>;
}

export interface PoolSizes {
  readonly poolSize: number;
  readonly clientsMax: number;
}

const spareClients = 50;

const sizes = ({ poolSize, clientsMax }: PoolSizes) => ({
  pool: { size: poolSize },
  clients: { max: clientsMax + spareClients },
});

const unshared: TidemarkVariant = {
  key: 'tidemark-unshared',
  name: 'Tidemark, no sharing',
  settings: { 'pool.sharing': 'false' },
  configFor: (size) => ({ ...sizes(size), pool: { ...sizes(size).pool, sharing: false } }),
};

/** Splitting, freshness (session level) and metrics are on in each of them. */
export const tidemarkVariants: readonly TidemarkVariant[] = [
  { key: 'tidemark', name: 'Tidemark', settings: {}, configFor: sizes },
  unshared,
];
