import { readFile } from 'node:fs/promises';

const sampleEveryMs = 20;
const pageBytes = 4096;

/** Resident memory of a process, on Linux; elsewhere 0. */
async function residentBytes(pid: number): Promise<number> {
  if (process.platform !== 'linux') return 0;
  const statm = await readFile(`/proc/${pid}/statm`, 'latin1');
  return Number(statm.split(' ')[1]) * pageBytes;
}

/** Watches by how much a process grows. */
export class ResidentMemory {
  readonly #pid: number;
  readonly #before: number;
  #most: number;
  #isEnding = false;
  readonly #ended: Promise<void>;

  private constructor(pid: number, before: number) {
    this.#pid = pid;
    this.#before = before;
    this.#most = before;
    this.#ended = this.#run();
  }

  static async watch(pid: number): Promise<ResidentMemory> {
    return new ResidentMemory(pid, await residentBytes(pid));
  }

  /** The most that it had at any time, beyond what it had at first. */
  async end(): Promise<{ growthBytes: number }> {
    this.#isEnding = true;
    await this.#ended;
    return { growthBytes: this.#most - this.#before };
  }

  async #run(): Promise<void> {
    while (!this.#isEnding) {
      this.#most = Math.max(this.#most, await residentBytes(this.#pid));
      await new Promise((resolve) => setTimeout(resolve, sampleEveryMs));
    }
  }
}
