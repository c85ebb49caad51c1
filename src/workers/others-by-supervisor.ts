import { type WorkerPlace, workerOf } from '../session/cancel-keys.ts';
import type { OtherWorkers } from '../session/other-workers.ts';
import type { Conversation } from './conversation.ts';
import type { SupervisorQuestions, WorkerQuestions } from './questions.ts';

/** The other workers, as one of them reaches them. Without its supervisor a worker ends. */
export function othersBySupervisor(
  supervisor: Pick<Conversation<SupervisorQuestions, WorkerQuestions>, 'ask'>,
  { index, count }: WorkerPlace,
): OtherWorkers {
  return {
    haveSession(pid) {
      const owner = workerOf(pid, count);
      return owner !== null && owner !== index;
    },
    cancel: (pid, secret) => supervisor.ask('cancel', { pid, secret }),
    signal: (pid, user, action) => supervisor.ask('signal', { pid, user, action }),
    tell: (change) => void supervisor.ask('tell', change),
  };
}
