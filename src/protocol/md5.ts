import { createHash } from 'node:crypto';

function md5(...parts: (string | Uint8Array)[]): string {
  const digest = createHash('md5');
  for (const part of parts) digest.update(part);
  return digest.digest('hex');
}

/** Answer to AuthenticationMD5Password: `salt` is the four bytes of the request. */
export function md5Password(user: string, password: string, salt: Uint8Array): string {
  return `md5${md5(md5(password, user), salt)}`;
}
