/**
 * What the literal-free form of a statement (scanner.ts) says without the grammar: enough to judge a
 * text that is too long or not understood, and to keep the grammar away from what would harm it.
 */

/**
 * Deeper texts are not parsed. libpg-query recurses on the WebAssembly stack, and an overflow there
 * leaves its stack pointer wrong for good. Measured from a cold start: every construct was parsed at
 * 4,000 levels, and some overflowed at 10,000.
 */
export const NESTING_MAX = 2000;

const PLAIN_START =
  /^(?:\( ?)*(select|insert|update|delete|merge|with|values|table)(?![\w$\x80-\xff])/i;
const WRITE_START = /^(insert|update|delete|merge)(?![\w$\x80-\xff])/i;

/** Names whose call changes the session; pg_settings because updating it is a SET. */
const SESSION_WORDS =
  /advisory|set_config|setseed|set_limit|pg_settings|dblink|replication_origin|backup_start|u&"/i;
/** Also what a SELECT that was not parsed may leave behind. */
const TEMPORARY = /(?<![\w$])temp(orary)?(?![\w$])|pg_temp/i;

/** Some call may change the session, or a name is spelled with an escape character that a literal sets. */
export function namesSession(form: string): boolean {
  return SESSION_WORDS.test(form);
}

/** The first keyword in capitals, when it is one whose class never depends on a literal; or null. */
export function plainStart(form: string): string | null {
  return PLAIN_START.exec(form)?.[1]?.toUpperCase() ?? null;
}

/** EXECUTE, whose literals are parameters. */
export function isExecute(form: string): boolean {
  return /^execute(?![\w$\x80-\xff])/i.test(form);
}

/** INSERT, UPDATE, DELETE or MERGE in capitals, when that is all the text can be; or null. */
export function obviousWrite(form: string, severalStatements: boolean): string | null {
  const start = WRITE_START.exec(form);
  if (start === null || severalStatements || namesSession(form)) return null;
  return start[1]!.toUpperCase();
}

/** Whether a text that was not parsed may change the session for longer than its transaction. */
export function mayChangeSession(form: string, severalStatements: boolean): boolean {
  return (
    severalStatements || plainStart(form) === null || namesSession(form) || TEMPORARY.test(form)
  );
}

const TOKEN = /[\w$\x80-\xff]+|"(?:[^"]|"")*"|[^\s]/g;
/** Between operands that the grammar keeps in a flat list (makeAndExpr, makeOrExpr), or clauses. */
const SEPARATOR = /^(?:,|;|and|or|union|intersect|except|join)$/i;
/** Each may chain another level to the left across separators. */
const CHAIN = /^(?:union|intersect|except|join|case|between)$/i;

/**
 * An upper bound of the depth of the grammar tree. Every level costs at least one token, so tokens
 * are counted between separators, whose sides are siblings; a bracket counts in what encloses it
 * with its longest part.
 */
export function nestingBound(form: string): number {
  const outerRuns: number[] = [];
  const outerPeaks: number[] = [];
  let enclosing = 0;
  let run = 0;
  let peak = 0;
  let chained = 0;
  let bound = 0;
  for (const [token] of form.matchAll(TOKEN)) {
    if (token === '(' || token === '[') {
      outerRuns.push(run);
      outerPeaks.push(peak);
      enclosing += run + 1;
      run = 0;
      peak = 0;
    } else if (token === ')' || token === ']') {
      const before = outerRuns.pop();
      if (before === undefined) continue;
      enclosing -= before + 1;
      run = before + 1 + Math.max(peak, run);
      peak = outerPeaks.pop()!;
    } else {
      if (CHAIN.test(token)) chained++;
      if (SEPARATOR.test(token)) {
        peak = Math.max(peak, run);
        run = 0;
      } else run++;
    }
    bound = Math.max(bound, enclosing + run);
  }
  return bound + chained;
}
