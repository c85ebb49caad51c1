import type { Lsn } from './lsn.ts';

/** Why nothing can be said of a token yet. */
export type UnprovenReason =
  /** No primary was seen in this epoch, or its position is not known yet. */
  | 'no-primary'
  /** Above the newest sample of the primary. If that was sent after the question: ahead of the log. */
  | 'beyond-newest-sample'
  /** A promotion that this monitor has not seen, or a token nobody made. */
  | 'newer-timeline'
  /** The history of the present timeline is being fetched. */
  | 'history-pending';

/** What a client's token means to this cluster now. It holds in the present epoch. */
export type TokenVerdict =
  | {
      /** A position of the present primary's log, which it has reached. */
      readonly kind: 'usable';
      /** What a replica must have replayed: the token's position, normalised. */
      readonly minLsn: Lsn;
    }
  | {
      readonly kind: 'unproven';
      readonly why: UnprovenReason;
      /**
       * When the newest sample of the primary was sent; -Infinity without one. A caller that finds
       * this later than its question has its final answer.
       */
      readonly newestPrimarySampleMs: number;
    }
  | {
      /** A failover left the token's timeline before the token's position. */
      readonly kind: 'lost';
      readonly timeline: number;
      /** The last position of that timeline that is part of the present history. */
      readonly switchLsn: Lsn;
    }
  /** Its timeline is no known ancestor of the present one. */
  | { readonly kind: 'unknown-history' }
  | { readonly kind: 'other-system' };
