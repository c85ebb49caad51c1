import { bind } from '../protocol/frontend.ts';

/**
 * No server connection has a statement of this name: naming it makes the server fail on purpose,
 * which aborts its transaction, and makes it ignore everything up to Sync.
 */
export const failingBind: Buffer = bind({ statement: 'tidemark_missing' });
