import type { FreshnessConfig } from '../../../src/config.ts';
import { BasePolicies } from '../../../src/session/base-policies.ts';
import { changed, type PolicyChange, type ReadPolicy } from '../../../src/session/read-policy.ts';
import { ReadSettings } from '../../../src/session/read-settings.ts';

export const freshnessConfig: FreshnessConfig = {
  consistency: 'session',
  maxStalenessMs: 1_000,
  waitTimeoutMs: 20,
  onTimeout: 'primary',
  lostToken: 'error',
  fallbackReadsMax: 0,
  databases: {},
  users: {},
  sampleIntervalMs: 100,
  primaryWaitTimeoutMs: 1_000,
};

/** Of a cluster of three nodes. */
export const basePolicies = (config: Partial<FreshnessConfig> = {}) =>
  new BasePolicies({ ...freshnessConfig, ...config }, 3);

export const policyWith = (change: PolicyChange = {}): ReadPolicy =>
  changed(basePolicies().of('u', 'd'), change);

export const readSettings = (change: PolicyChange = {}) => new ReadSettings(policyWith(change));
