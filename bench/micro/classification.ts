import { Classifier } from '../../src/router/classifier.ts';
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

const account = (id: number) => `SELECT abalance FROM pgbench_accounts WHERE aid = ${id};`;

/** The same statements with other literals each time, as applications without parameters send. */
export function classification(): MicroGroup {
  return {
    title: 'Classification, of a statement whose form is known',
    benches: [
      cached('a short SELECT', account),
      cached('what an ORM sends', orm),
      cached('the same with parameters', () => orm(1).replace('= 1 ', '= $1 ')),
    ],
  };
}

function cached(name: string, text: (id: number) => string): MicroBench {
  const classifier = new Classifier({ catalog });
  const texts = Array.from({ length: textsPerRun }, (_, index) =>
    Buffer.from(text(1_000_000 + 7_919 * index)),
  );
  return {
    name: `${name} (${texts[0]!.length} bytes)`,
    count: textsPerRun,
    aimNs: cachedAimNs,
    run: () => {
      for (const one of texts) classifier.classify(one, 0, one.length);
    },
  };
}
