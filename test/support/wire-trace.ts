import { createHash } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { Backend } from '../../src/protocol/codes.ts';
import { cancelRequest, startup, terminate } from '../../src/protocol/frontend.ts';

/** A server that says nothing for this long is reported as such, in the trace itself. */
const silenceMs = 20_000;
/** Longer values are shown by length and digest. */
const shownBytesMax = 200;

/** FirstNormalObjectId (transam.h): from here on they depend on what was made before. */
const firstUserOid = 16_384;

const typeNames: ReadonlyMap<number, string> = new Map(
  Object.entries(Backend).map(([name, type]) => [type, name]),
);

export interface WireTraceOptions {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly database: string;
  readonly params?: Readonly<Record<string, string>>;
  readonly minor?: number;
}

/** How the bytes of a script reach the server. */
export type Delivery = 'whole' | 'shredded';

interface Wait {
  readonly letters: string;
  matched: number;
  readonly done: () => void;
  readonly timer: NodeJS.Timeout;
}

/**
 * A protocol 3 client that trusts nobody's parser but its own: what the other side says becomes
 * lines of text, with everything in them that two servers may rightly say differently left out.
 */
export class WireTrace {
  /** Since the last `takeLines`. */
  #lines: string[] = [];
  /** ParameterStatus of the login. */
  readonly greeting: string[] = [];
  pid = 0;
  secret: Buffer = Buffer.alloc(0);
  /** Of the last ReadyForQuery. */
  status = '';
  isClosed = false;
  /** Called with the type of each message, as a letter, and at the end of the connection. */
  onMessage: (type: string) => void = () => {};
  onClosed: () => void = () => {};
  readonly #socket: Socket;
  readonly #address: { host: string; port: number };
  /** Of a message that has not come whole: put together once. */
  #held: Buffer[] = [];
  #heldBytes = 0;
  #neededBytes = 5;
  #wait: Wait | null = null;
  /** Type bytes that came and nobody has waited for. */
  #unmatched = '';
  #isGreeting = true;

  private constructor(options: WireTraceOptions) {
    const { host, port, user, database, params = {}, minor = 0 } = options;
    this.#address = { host, port };
    const named = Object.entries({ user, database, ...params });
    this.#socket = connect({ host, port, noDelay: true }, () =>
      this.#socket.write(startup(named, minor)),
    );
    this.#socket.on('data', (chunk: Buffer) => this.#read(chunk));
    this.#socket.on('error', () => {});
    this.#socket.on('close', () => this.#ended());
  }

  /** Logs in (without a password: both ends trust) and waits for ReadyForQuery. */
  static async open(options: WireTraceOptions): Promise<WireTrace> {
    const trace = new WireTrace(options);
    await trace.until('Z');
    trace.#isGreeting = false;
    if (!trace.isClosed) trace.takeLines();
    return trace;
  }

  /** The lines since the last call. */
  takeLines(): string[] {
    return this.#lines.splice(0);
  }

  /** Sends, and waits for messages of these types, in this order; '' waits for none. */
  async run(bytes: Buffer, letters: string, delivery: Delivery = 'whole'): Promise<string[]> {
    await this.send(bytes, delivery);
    await this.until(letters);
    return this.takeLines();
  }

  async send(bytes: Buffer, delivery: Delivery = 'whole'): Promise<void> {
    if (delivery === 'whole') {
      this.#socket.write(bytes);
      return;
    }
    for (let at = 0, size = 1; at < bytes.length; at += size, size = (size % 9) + 1) {
      this.#socket.write(bytes.subarray(at, at + size));
      await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Waits for messages of these types, in this order, or the end of the connection. */
  until(letters: string): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#lines.push(`SILENCE while waiting for ${letters.slice(this.#wait?.matched)}`);
        this.#settle();
      }, silenceMs);
      this.#wait = { letters, matched: 0, done: resolve, timer };
      const came = this.#unmatched;
      this.#unmatched = '';
      for (const letter of came) this.#match(letter);
      if (this.isClosed || this.#wait?.matched === letters.length) this.#settle();
    });
  }

  /** Asks the server, on a connection of its own, to cancel; resolves when that is closed. */
  cancel(key: { pid: number; secret: Buffer } = this): Promise<void> {
    return new Promise((resolve) => {
      const socket = connect(this.#address, () => socket.end(cancelRequest(key.pid, key.secret)));
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.resume();
    });
  }

  /** Terminate, and wait for the other side to close. */
  async close(): Promise<void> {
    if (this.isClosed) return;
    const closed = new Promise((resolve) => this.#socket.once('close', resolve));
    this.#socket.end(terminate);
    await closed;
  }

  /** Vanishes without a word. */
  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#held.push(chunk);
    this.#heldBytes += chunk.length;
    if (this.#heldBytes < this.#neededBytes) return;
    let data = Buffer.concat(this.#held);
    this.#neededBytes = 5;
    while (data.length >= 5) {
      const end = 1 + data.readInt32BE(1);
      if (data.length < end) {
        this.#neededBytes = end;
        break;
      }
      this.#message(data[0]!, data.subarray(5, end));
      data = data.subarray(end);
    }
    this.#held = [data];
    this.#heldBytes = data.length;
  }

  #message(type: number, body: Buffer): void {
    if (type === Backend.BackendKeyData) {
      this.pid = body.readInt32BE(0);
      this.secret = Buffer.from(body.subarray(4));
    }
    if (type === Backend.ReadyForQuery) this.status = body.toString('latin1');
    const line = describe(type, body);
    if (this.#isGreeting && type === Backend.ParameterStatus) this.greeting.push(line);
    else this.#lines.push(line);
    this.#match(String.fromCharCode(type));
    this.onMessage(String.fromCharCode(type));
  }

  #match(letter: string): void {
    const wait = this.#wait;
    if (wait === null || wait.matched === wait.letters.length) {
      this.#unmatched += letter;
      return;
    }
    if (wait.letters[wait.matched] === letter) wait.matched += 1;
    if (wait.matched === wait.letters.length) this.#settle();
  }

  #ended(): void {
    this.isClosed = true;
    this.#lines.push('CLOSED');
    this.#settle();
    this.onClosed();
  }

  #settle(): void {
    const wait = this.#wait;
    if (wait === null) return;
    this.#wait = null;
    clearTimeout(wait.timer);
    wait.done();
  }
}

function describe(type: number, body: Buffer): string {
  const name = typeNames.get(type) ?? `type ${type}`;
  switch (type) {
    case Backend.DataRow:
      return `${name} ${rowValues(body).join(' | ')}`;
    case Backend.RowDescription:
      return `${name} ${columns(body).join(', ')}`;
    case Backend.ErrorResponse:
    case Backend.NoticeResponse:
      return `${name} ${reportFields(body)}`;
    case Backend.BackendKeyData:
      return `${name} secret of ${body.length - 4} bytes`;
    case Backend.NotificationResponse:
      return `${name} ${strings(body.subarray(4)).join(' ')}`;
    case Backend.ParameterStatus:
      return `${name} ${strings(body).join('=')}`;
    case Backend.CommandComplete:
    case Backend.ReadyForQuery:
      return `${name} ${strings(body).join('')}`;
    default:
      return body.length === 0 ? name : `${name} ${bytesText(body)}`;
  }
}

/** All but where in the server's source it was raised (F, L, R). */
function reportFields(body: Buffer): string {
  return strings(body)
    .filter((field) => field !== '' && !'FLR'.includes(field[0]!))
    .map((field) => `${field[0]}:${field.slice(1)}`)
    .join(' ');
}

function strings(body: Buffer): string[] {
  const parts = body.toString('utf8').split('\0');
  if (parts.at(-1) === '') parts.pop();
  return parts;
}

function rowValues(body: Buffer): string[] {
  const values: string[] = [];
  let at = 2;
  for (let count = body.readInt16BE(0); count > 0; count--) {
    const length = body.readInt32BE(at);
    at += 4;
    values.push(length < 0 ? 'NULL' : bytesText(body.subarray(at, at + length)));
    at += Math.max(0, length);
  }
  return values;
}

/** Name, type, size, modifier and format; of the table only whether there is one: OIDs differ. */
function columns(body: Buffer): string[] {
  const described: string[] = [];
  let at = 2;
  for (let count = body.readInt16BE(0); count > 0; count--) {
    const nul = body.indexOf(0, at);
    const name = body.toString('utf8', at, nul);
    const ofTable = body.readInt32BE(nul + 1) === 0 ? '' : ` column ${body.readInt16BE(nul + 5)}`;
    const oid = body.readUInt32BE(nul + 7);
    const type = `${oid < firstUserOid ? oid : 'made'}/${body.readInt16BE(nul + 11)}/${body.readInt32BE(nul + 13)}`;
    described.push(`${name} ${type} f${body.readInt16BE(nul + 17)}${ofTable}`);
    at = nul + 19;
  }
  return described;
}

function bytesText(bytes: Buffer): string {
  if (bytes.length > shownBytesMax) {
    return `<${bytes.length} bytes ${createHash('md5').update(bytes).digest('hex')}>`;
  }
  const text = bytes.toString('latin1');
  return /^[\x20-\x7e\n\t]*$/.test(text) ? JSON.stringify(text) : `0x${bytes.toString('hex')}`;
}
