import { parameterStatus } from '../protocol/backend.ts';

/**
 * What a client believes of the parameters that servers report (ParameterStatus). A server does not
 * know what the client's startup packet asked for, so what it reports after RESET is not what the
 * session goes back to: the proxy says that itself.
 */
export class ToldParameters {
  readonly #atLogin: ReadonlyMap<string, string>;
  /** Those that were told since the login. */
  readonly #told = new Map<string, string>();

  constructor(atLogin: ReadonlyMap<string, string>) {
    this.#atLogin = atLogin;
  }

  hear(name: string, value: string): void {
    this.#told.set(name, value);
  }

  /** Messages that tell of those that are, in the eyes of `isBack`, as they were at the login. */
  backAsAtLogin(isBack: (name: string) => boolean): Buffer | null {
    const messages: Buffer[] = [];
    for (const [name, value] of this.#told) {
      const initial = this.#atLogin.get(name);
      if (initial === undefined || initial === value || !isBack(name)) continue;
      this.#told.set(name, initial);
      messages.push(parameterStatus(name, initial));
    }
    return messages.length === 0 ? null : Buffer.concat(messages);
  }
}
