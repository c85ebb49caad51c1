import type { FenceReason, NodeRole } from './node-state.ts';

/** One thing worth a line in the log. */
export type MonitorEvent =
  | { readonly type: 'node-up'; readonly node: number; readonly generation: number }
  | { readonly type: 'node-down'; readonly node: number; readonly error: string }
  | {
      readonly type: 'role-changed';
      readonly node: number;
      readonly from: NodeRole;
      readonly to: NodeRole;
    }
  | { readonly type: 'node-fenced'; readonly node: number; readonly reason: FenceReason }
  | {
      readonly type: 'primary-changed';
      /** -1: there is none now. */
      readonly node: number;
      readonly previous: number;
      readonly timeline: number | null;
    }
  | {
      readonly type: 'new-epoch';
      readonly node: number;
      readonly epoch: number;
      readonly timeline: number | null;
    }
  | {
      /** Its staleness fell to half of the limit: flapping at the limit is not worth lines. */
      readonly type: 'replica-eligible';
      readonly node: number;
      readonly stalenessMs: number;
    }
  | {
      /** Its staleness passed the limit. */
      readonly type: 'replica-ineligible';
      readonly node: number;
      readonly stalenessMs: number;
    };
