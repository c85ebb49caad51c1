/**
 * A process that serves clients for a supervisor, who started it (src/workers/worker-process.ts) and
 * says all that it needs to know. It ends with the channel to its supervisor: node:cluster sees to
 * that, so that no worker is left when its supervisor is killed.
 */
import { Conversation } from './workers/conversation.ts';
import { othersBySupervisor } from './workers/others-by-supervisor.ts';
import type { SupervisorQuestions, WorkerQuestions } from './workers/questions.ts';
import { WorkerService } from './workers/worker-service.ts';

// A terminal, or an orchestrator, signals every process; the supervisor says what to make of it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});

const service = new WorkerService((place) => othersBySupervisor(conversation, place));
const conversation = new Conversation<SupervisorQuestions, WorkerQuestions>(
  (message) => process.send!(message, undefined, undefined, () => {}),
  service,
);
process.on('message', (message) => conversation.heard(message));
void conversation.ask('attend');
