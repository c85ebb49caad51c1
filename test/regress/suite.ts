import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, createWriteStream } from 'node:fs';
import { chmod, mkdir, readFile, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';

/** The same for both sides. */
export interface SuiteOptions {
  /** PostgreSQL's src/test/regress, or the folder of an extension; readable to the servers. */
  readonly source: string;
  readonly database: string;
  /** Where regress.so is, and autoinc.so and refint.so of contrib/spi. */
  readonly libraries: string;
  readonly psql: string;
  /** A test that takes longer is ended. */
  readonly limitMs: number;
}

export interface SuiteTarget {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  /** For results, and for the files that the tests let the server write. */
  readonly folder: string;
}

/** What pg_regress does for the tests of its schedule (pg_regress.c, pg_regress_main.c). */
export class Suite {
  readonly #options: SuiteOptions;
  readonly #target: SuiteTarget;

  private constructor(options: SuiteOptions, target: SuiteTarget) {
    this.#options = options;
    this.#target = target;
  }

  /** Makes the database; `target` must let everybody in. */
  static async prepare(options: SuiteOptions, target: SuiteTarget): Promise<Suite> {
    const results = join(target.folder, 'results');
    await mkdir(results, { recursive: true });
    for (const folder of [target.folder, results]) await chmod(folder, 0o777);
    // Tests of extensions name their files from where they run.
    await symlink(join(options.source, 'data'), join(target.folder, 'data'));
    const { host, port, user } = target;
    const client = new pg.Client({ host, port, user, database: 'postgres' });
    await client.connect();
    try {
      for (const sql of creationOf(options.database)) await client.query(sql);
    } finally {
      await client.end();
    }
    return new Suite(options, target);
  }

  /** Runs a test with psql and gives its output, its paths made the same for everybody. */
  async run(test: string): Promise<string> {
    const { source, psql, limitMs, database } = this.#options;
    const file = join(this.#target.folder, 'results', `${test}.out`);
    const input = createReadStream(join(source, 'sql', `${test}.sql`));
    const output = createWriteStream(file);
    await Promise.all([once(input, 'open'), once(output, 'open')]);
    const hidden = ['-v', 'HIDE_TABLEAM=on', '-v', 'HIDE_TOAST_COMPRESSION=on'];
    const child = spawn(psql, ['-X', '-a', '-q', '-d', database, ...hidden], {
      cwd: this.#target.folder,
      env: this.#environment(test),
      stdio: [input, output, output],
      timeout: limitMs,
      killSignal: 'SIGKILL',
    });
    await once(child, 'exit');
    input.close();
    output.close();
    const text = await readFile(file, 'latin1');
    return text.replaceAll(this.#target.folder, '@abs_builddir@');
  }

  /** initialize_environment() of pg_regress.c. */
  #environment(test: string): NodeJS.ProcessEnv {
    const { source, libraries } = this.#options;
    const { host, port, user, folder } = this.#target;
    const inherited = Object.entries(process.env).filter(([name]) => !/^(PG|LC_|LANG)/.test(name));
    return {
      ...Object.fromEntries(inherited),
      LC_MESSAGES: 'C',
      PGHOST: host,
      PGPORT: String(port),
      PGUSER: user,
      PGAPPNAME: `pg_regress/${test}`,
      PGTZ: 'America/Los_Angeles',
      PGDATESTYLE: 'Postgres, MDY',
      PGOPTIONS: '-c intervalstyle=postgres_verbose',
      PG_ABS_SRCDIR: source,
      PG_ABS_BUILDDIR: folder,
      PG_LIBDIR: libraries,
      PG_DLSUFFIX: '.so',
    };
  }
}

/** create_database() of pg_regress.c. */
const creationOf = (database: string) => [
  `CREATE DATABASE ${database} TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'`,
  ...[
    "lc_messages TO 'C'",
    "lc_monetary TO 'C'",
    "lc_numeric TO 'C'",
    "lc_time TO 'C'",
    "bytea_output TO 'hex'",
    "timezone_abbreviations TO 'Default'",
  ].map((setting) => `ALTER DATABASE ${database} SET ${setting}`),
];
