import { type ChildProcess, fork } from 'node:child_process';
import type { Socket } from 'node:net';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Answerer, Conversation } from './conversation.ts';
import type { SupervisorQuestions, WorkerQuestions } from './questions.ts';

/** How a process has ended. */
export interface Exit {
  readonly code: number | null;
  readonly signal: string | null;
}

/** What others answer to a worker; the rest concerns the process itself. */
export type OthersAnswers = Omit<Answerer<SupervisorQuestions>, 'attend' | 'taken' | 'left'>;

/** Run from source as .ts, and built as .js. */
const program = fileURLToPath(
  new URL(`../worker-main${extname(import.meta.url)}`, import.meta.url),
);

/** One worker process, from its start to its end. */
export class WorkerProcess {
  readonly exited: Promise<Exit>;
  readonly ask: Conversation<WorkerQuestions, SupervisorQuestions>['ask'];
  /** Clients that it has, or is to have. */
  clients = 0;
  /** On their way to it. Sockets that are sent are lost for good if nobody receives them. */
  readonly #given: Socket[] = [];
  readonly #child: ChildProcess;

  constructor(answers: OthersAnswers) {
    const child = fork(program, {
      // Buffers, maps and infinite numbers arrive as what they are.
      serialization: 'advanced',
    });
    // What is sent to a process that still loads its program is lost.
    let attend = () => {};
    const attends = new Promise<void>((resolve) => {
      attend = resolve;
    });
    const conversation = new Conversation<WorkerQuestions, SupervisorQuestions>(
      // A channel that is closed, or breaks: the worker's end says it all.
      (message) => void attends.then(() => child.send(message as object, () => {})),
      {
        ...answers,
        attend,
        taken: () => void this.#given.shift()!.destroy(),
        left: () => {
          this.clients -= 1;
        },
      },
    );
    this.#child = child;
    this.ask = conversation.ask.bind(conversation);
    child.on('message', (message) => conversation.heard(message));
    this.exited = new Promise((resolve) => {
      const ended = (exit: Exit) => {
        resolve(exit);
        for (const socket of this.#given) socket.destroy();
        conversation.end(`a worker process has ended (${textOf(exit)})`);
      };
      child.on('exit', (code, signal) => ended({ code, signal }));
      child.on('error', () => {
        // It could not be started, so that it will not exit either.
        if (child.pid === undefined) ended({ code: null, signal: null });
      });
    });
  }

  /** Hands a client over, of whose socket nothing has been read. */
  give(socket: Socket): void {
    this.clients += 1;
    this.#given.push(socket);
    this.#child.send('client', socket, { keepOpen: true }, () => {});
  }

  /** It exits when it finds that nobody supervises it any more. */
  dismiss(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }
}

function textOf({ code, signal }: Exit): string {
  if (signal !== null) return signal;
  return code === null ? 'it could not be started' : `exit code ${code}`;
}
