/** The embedded cluster cannot be started or kept; the message says why and what to do, in words for the user. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError';
}
