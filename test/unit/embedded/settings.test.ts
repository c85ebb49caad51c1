import { expect, test } from 'vitest';
import { upstreamSettings } from '../../../src/embedded/settings.ts';

test('quotes what a connection string needs quoted', () => {
  const settings = upstreamSettings('replica1', {
    port: 5432,
    user: 'postgres',
    password: `a b'c\\d`,
  });
  expect(settings.primary_conninfo).toBe(
    `host=127.0.0.1 port=5432 user=postgres password='a b\\'c\\\\d' application_name=replica1 sslmode=disable gssencmode=disable`,
  );
  expect(settings.primary_slot_name).toBe('replica1');
});
