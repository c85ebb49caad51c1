import type {
  Catalog,
  Effect,
  RelationTrait,
  StatementClass,
} from '../../../src/router/statement.ts';

/** What PostgreSQL 18 says of the functions used in tests, and three user functions. */
const VOLATILITY: Readonly<Record<string, 'immutable' | 'stable' | 'volatile'>> = {
  abs: 'immutable',
  age: 'stable',
  clock_timestamp: 'stable',
  count: 'immutable',
  crosstab: 'stable',
  current_setting: 'stable',
  currval: 'volatile',
  gen_random_uuid: 'stable',
  generate_series: 'immutable',
  inet_server_addr: 'stable',
  inet_server_port: 'stable',
  lo_get: 'stable',
  lower: 'immutable',
  max: 'immutable',
  nextval: 'volatile',
  now: 'stable',
  pg_advisory_lock: 'volatile',
  pg_advisory_unlock_all: 'volatile',
  pg_advisory_xact_lock: 'volatile',
  pg_is_in_recovery: 'volatile',
  pg_sleep: 'stable',
  pg_total_relation_size: 'stable',
  query_to_xml: 'volatile',
  random: 'stable',
  set_config: 'volatile',
  setseed: 'volatile',
  timezone: 'immutable',
  user_immutable: 'immutable',
  user_stable: 'stable',
  user_volatile: 'volatile',
};

/** Relations that are not plain; those that begin with `new_` are not known yet. */
const TRAITS: Readonly<Record<string, RelationTrait>> = {
  users_id_seq: 'server-fact',
  activity_view: 'server-fact',
  remote_users: 'foreign',
  volatile_view: 'volatile',
  unlogged_users: 'unlogged',
  locking_view: 'writing',
};

const SERVER_SETTINGS: ReadonlySet<string> = new Set(['port', 'data_directory', 'shared_buffers']);

const known = (name: string) => (name.startsWith('new_') ? null : 'plain');

export const catalog: Catalog = {
  loaded: true,
  volatility: (schema, name) => (schema === 'public' ? 'volatile' : (VOLATILITY[name] ?? null)),
  relation: (_, name) => TRAITS[name] ?? known(name),
  type: (_, name) =>
    name === 'volatile_type' ? 'volatile' : name.startsWith('no_such') ? null : known(name),
  operator: (_, name) => (name === '<=>' ? 'volatile' : name === '@#@' ? null : 'plain'),
  missed: () => {},
  isColumnFunction: (name) => name === 'row_function',
  isServerSetting: (name) => SERVER_SETTINGS.has(name),
};

/** What completing a statement does, in the words of docs/classification.md. */
export function describeOutcome({ effect, ddl }: StatementClass): string {
  return [describeEffect(effect), ddl ? 'reload catalog' : '']
    .filter((part) => part !== '')
    .join('; ');
}

function describeEffect(effect: Effect | null): string {
  if (effect === null) return '';
  switch (effect.kind) {
    case 'set':
      return `${effect.local ? 'set local' : 'set'} ${effect.name} = \`${effect.value}\``;
    case 'reset':
      return `${effect.local ? 'reset local' : 'reset'} ${effect.name}`;
    case 'pin':
      return `pin ${effect.reason}`;
    case 'review':
      return effect.ran === null ? 'may unpin' : `ran a ${effect.ran}`;
    case 'listen':
    case 'unlisten':
      return `${effect.kind} ${effect.channel ?? 'all'}`;
    case 'prepare':
    case 'execute':
    case 'set-unknown':
      return `${effect.kind} ${effect.name}`;
    case 'vacate':
      return `vacate ${effect.database}`;
    case 'begin':
    case 'set-transaction': {
      const modes = [
        effect.readOnly === null ? [] : effect.readOnly ? ['read only'] : ['read write'],
        effect.isolation ?? [],
        effect.deferrable === null ? [] : effect.deferrable ? ['deferrable'] : ['not deferrable'],
      ].flat();
      return [effect.kind, ...modes].join(', ');
    }
    case 'commit':
    case 'rollback':
      return effect.chain ? `${effect.kind} and chain` : effect.kind;
    case 'savepoint':
    case 'release':
    case 'rollback-to':
      return `${effect.kind} ${effect.name}`;
    case 'discard':
      return `discard ${effect.what}`;
    case 'deallocate':
      return `deallocate ${effect.name ?? 'all'}`;
    case 'show':
      return `show ${effect.name}`;
    case 'several':
      return effect.effects.map(describeEffect).join('; ');
    default:
      return effect.kind;
  }
}
