/**
 * Every client is an open file of the proxy and one of the bench. Node.js raises its own limit as
 * far as it may when it starts.
 *
 * @throws Error where the hard limit is lower
 */
export function requireOpenFiles(count: number): void {
  const report = process.report.getReport() as unknown as {
    readonly userLimits?: { readonly open_files?: { readonly hard: number | 'unlimited' } };
  };
  const hard = report.userLimits?.open_files?.hard ?? 'unlimited';
  if (hard === 'unlimited' || hard >= count) return;
  throw new Error(
    `a process may have ${hard} files open here, and ${count} are needed: raise the limit (ulimit -Hn) or take fewer --clients`,
  );
}
