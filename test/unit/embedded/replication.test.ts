import { expect, test } from 'vitest';
import { cannotContinueLog } from '../../../src/embedded/replication.ts';

test.each([
  'FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment 000000010000000000000003 has already been removed',
  'FATAL:  could not start WAL streaming: ERROR:  can no longer access replication slot "replica1"',
  'FATAL:  could not start WAL streaming: ERROR:  can no longer get changes from replication slot "replica1"',
  'FATAL:  database system identifier differs between the primary and standby',
  'FATAL:  highest timeline 1 of the primary is behind recovery timeline 2',
  'FATAL:  could not start WAL streaming: ERROR:  requested starting point 0/5000000 is ahead of the WAL flush position of this server 0/4000000',
  'LOG:  new timeline 2 forked off current database system timeline 1 before current recovery point 0/3000148',
  "FATAL:  requested timeline 3 is not a child of this server's history",
])('a replica that logs this needs a new copy: %s', (line) => {
  expect(cannotContinueLog.test(line)).toBe(true);
});

test.each([
  'FATAL:  streaming replication receiver "replica1" could not connect to the primary server: connection to server at "127.0.0.1", port 20000 failed: Connection refused',
  'FATAL:  could not start WAL streaming: ERROR:  replication slot "replica1" is active for PID 1',
  'LOG:  invalid record length at 0/3000148: expected at least 24, got 0',
  'FATAL:  terminating walreceiver process due to administrator command',
])('a replica that logs this only has to wait: %s', (line) => {
  expect(cannotContinueLog.test(line)).toBe(false);
});
