import cluster, { type Worker } from 'node:cluster';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answerer, Conversation } from './conversation.ts';
import type { SupervisorQuestions, WorkerQuestions } from './questions.ts';

/** How a process has ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** Run from source as .ts, and built as .js. */
const program = fileURLToPath(
  new URL(`../worker-main${extname(import.meta.url)}`, import.meta.url),
);

/** One worker process, from its start to its end. */
export class WorkerProcess {
  readonly exited: Promise<Exit>;
  readonly ask: Conversation<WorkerQuestions, SupervisorQuestions>['ask'];
  readonly #worker: Worker;

  constructor(answerer: Omit<Answerer<SupervisorQuestions>, 'attend'>) {
    cluster.setupPrimary({
      exec: program,
      args: [],
      // Buffers, maps and infinite numbers arrive as what they are.
      serialization: 'advanced',
    });
    // In turn: left to the system, the worker that wakes first takes most of a burst of clients.
    cluster.schedulingPolicy = cluster.SCHED_RR;
    const worker = cluster.fork();
    // What is sent to a process that still loads its program is lost.
    let attend = () => {};
    const attends = new Promise<void>((resolve) => {
      attend = resolve;
    });
    const conversation = new Conversation<WorkerQuestions, SupervisorQuestions>(
      // A channel that is closed, or breaks: the worker's end says it all.
      (message) => void attends.then(() => worker.process.send(message as object, () => {})),
      { ...answerer, attend },
    );
    this.#worker = worker;
    this.ask = conversation.ask.bind(conversation);
    worker.on('message', (message) => conversation.heard(message));
    this.exited = new Promise((resolve) => {
      const ended = (exit: Exit) => {
        resolve(exit);
        conversation.end(`a worker process has ended (${textOf(exit)})`);
      };
      worker.on('exit', (code, signal) => ended({ code, signal }));
      worker.on('error', () => {
        // It could not be started, so that it will not exit either.
        if (worker.process.pid === undefined) ended({ code: null, signal: null });
      });
    });
  }

  get pid(): number | undefined {
    return this.#worker.process.pid;
  }

  /** It exits when it finds that nobody supervises it any more. */
  dismiss(): void {
    if (this.#worker.isConnected()) this.#worker.process.disconnect();
  }

  kill(): void {
    this.#worker.process.kill('SIGKILL');
  }
}

function textOf({ code, signal }: Exit): string {
  if (signal !== null) return signal;
  return code === null ? 'it could not be started' : `exit code ${code}`;
}
