import { Classifier } from '../../src/router/classifier.ts';
import { loadParser } from '../../src/router/parser.ts';
import { catalog } from '../../test/unit/router/catalog.ts';
import type { MicroBench, MicroGroup } from './micro-bench.ts';

const textsPerRun = 64;
const cachedAimNs = 2_000;

/** As an ORM writes it. */
const orm = (id: number) =>
  `SELECT "order"."id", "order"."created_at", "order"."customer_id", "order"."state", "order"."total_cents", ` +
  `"customer"."id", "customer"."name", "customer"."email", count("item"."id") AS "items" FROM "orders" AS "order" ` +
  `INNER JOIN "customers" AS "customer" ON "customer"."id" = "order"."customer_id" ` +
  `LEFT OUTER JOIN "items" AS "item" ON "item"."order_id" = "order"."id" ` +
  `WHERE "order"."customer_id" = ${id} AND "order"."state" IN ('open', 'paid') GROUP BY 1, 2, 3, 4, 5, 6, 7, 8 ` +
  `ORDER BY "order"."created_at" DESC LIMIT 20`;

/** As long as all that are made of it. */
const firstId = 1_000_000;

const account = (id: number) => `SELECT abalance FROM pgbench_accounts WHERE aid = ${id};`;

export async function classification(): Promise<MicroGroup> {
  await loadParser();
  return {
    title: 'Classification, of a statement whose form is known',
    benches: [
      fresh('a short SELECT, other literals each time', account),
      fresh('what an ORM sends, other literals each time', orm),
      same('what an ORM sends, with parameters', orm(firstId).replace(`= ${firstId} `, '= $1 ')),
    ],
  };
}

/** The text comes again and again, as from applications with parameters. */
function same(name: string, text: string): MicroBench {
  const bytes = Buffer.from(text);
  return bench(name, bytes, () => {});
}

/** No text comes twice. */
function fresh(name: string, textOf: (id: number) => string): MicroBench {
  const bytes = Buffer.from(textOf(firstId));
  const digitsEnd = bytes.indexOf(String(firstId)) + String(firstId).length;
  return bench(name, bytes, () => increment(bytes, digitsEnd));
}

function bench(name: string, bytes: Buffer, change: () => void): MicroBench {
  const classifier = new Classifier({ catalog });
  return {
    name: `${name} (${bytes.length} bytes)`,
    count: textsPerRun,
    aimNs: cachedAimNs,
    run: () => {
      for (let index = 0; index < textsPerRun; index++) {
        change();
        const { access, reason } = classifier.classify(bytes, 0, bytes.length);
        // A text that nobody understands is judged anew each time.
        if (access !== 'read' || reason !== null) throw new Error(`no read: ${reason}`);
      }
    },
  };
}

const [zero, nine] = [0x30, 0x39];

/** The decimal number that ends there; too large for its place, it begins anew. */
function increment(bytes: Buffer, end: number): void {
  for (let at = end - 1; bytes[at]! >= zero && bytes[at]! <= nine; at--) {
    if (bytes[at] !== nine) {
      bytes[at]! += 1;
      return;
    }
    bytes[at] = zero;
  }
}
