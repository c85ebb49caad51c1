import { type Lsn, parseLsn } from '../../src/lag/lsn.ts';
import type { TestNode } from './cluster.ts';

/** `wal_block_size` of every server that is not built otherwise. */
export const PAGE_BYTES = 8192;

const pageOf = (lsn: Lsn) => lsn / BigInt(PAGE_BYTES);

/** Logs a record that ends exactly on a page boundary; resolves with the insert position then. */
export async function fillPage(primary: TestNode): Promise<Lsn> {
  const emit = (bytes: number) =>
    primary.query(`select pg_logical_emit_message(false, 't', repeat('x', ${bytes}))`);
  const position = async () => {
    const [row] = await primary.query('select pg_current_wal_insert_lsn()::text as lsn');
    return parseLsn(row.lsn as string);
  };
  const missed: string[] = [];
  for (let attempt = 0; attempt < 2_000; attempt++) {
    // What a record adds to its message, which is more where it crosses into the next page.
    const start = await position();
    await emit(1000);
    const end = await position();
    const overhead = Number(end - start) - 1000;
    const left = PAGE_BYTES - Number(end % BigInt(PAGE_BYTES));
    if (pageOf(start) !== pageOf(end) || left < overhead + 300) continue;
    await emit(left - overhead);
    const lsn = await position();
    if (lsn % BigInt(PAGE_BYTES) === 24n) return lsn;
    missed.push(`${start} ${end} ${overhead} ${left} ${lsn}`);
  }
  throw new Error(`no record ended on a page boundary: ${missed.slice(0, 4).join('; ')}`);
}
