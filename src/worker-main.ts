/**
 * A process that serves clients for a supervisor, who starts it (src/workers/worker-process.ts),
 * says all that it needs to know, and hands clients over.
 */
import type { Socket } from 'node:net';
import { Conversation } from './workers/conversation.ts';
import { othersBySupervisor } from './workers/others-by-supervisor.ts';
import type { SupervisorQuestions, WorkerQuestions } from './workers/questions.ts';
import { WorkerService } from './workers/worker-service.ts';

// A terminal, or an orchestrator, signals every process; the supervisor says what to make of it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => {});
// Also when the supervisor was killed: no worker is left behind.
process.on('disconnect', () => process.exit());

const service = new WorkerService((place) => othersBySupervisor(conversation, place));
const conversation = new Conversation<SupervisorQuestions, WorkerQuestions>(
  (message) => process.send!(message, undefined, undefined, () => {}),
  service,
);
process.on('message', (message, socket) => {
  if (message !== 'client') conversation.heard(message);
  else takeClient(socket as Socket | undefined);
});
void conversation.ask('attend');

function takeClient(socket: Socket | undefined): void {
  void conversation.ask('taken');
  const left = () => void conversation.ask('left');
  // It may have gone on its way here.
  if (socket === undefined) {
    left();
    return;
  }
  socket.on('close', left);
  service.accept(socket);
}
