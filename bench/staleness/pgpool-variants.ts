import { isAtLeast, type PgpoolSettings } from '../support/pgpool.ts';

export interface PgpoolVariant {
  readonly key: string;
  readonly name: string;
  readonly promise: string;
  readonly settings: PgpoolSettings;
}

/** As its manual's examples have it, as tight as its lag check can be, and with its remedy for writes. */
export function pgpoolVariants(version: string): PgpoolVariant[] {
  const tight = {
    disable_load_balance_on_write: 'transaction',
    sr_check_period: '1',
    delay_threshold: '10000',
    prefer_lower_delay_standby: 'on',
    ...(isAtLeast(version, 4, 4) && { delay_threshold_by_time: '100ms' }),
  };
  const limit = isAtLeast(version, 4, 4) ? '100 ms' : '10 kB of WAL';
  return [
    {
      key: 'pgpool',
      name: 'Pgpool-II',
      promise: 'replicas are left out when a check every 10 s finds them over 10 MB of WAL behind',
      settings: {
        disable_load_balance_on_write: 'transaction',
        sr_check_period: '10',
        delay_threshold: '10000000',
      },
    },
    {
      key: 'pgpool-tight',
      name: 'Pgpool-II, tight',
      promise: `replicas are left out when a check every 1 s finds them over ${limit} behind`,
      settings: tight,
    },
    {
      key: 'pgpool-always',
      name: 'Pgpool-II, always',
      promise: 'after its first write a session reads from the primary until it ends',
      settings: { ...tight, disable_load_balance_on_write: 'always' },
    },
  ];
}
