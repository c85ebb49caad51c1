/** What is known of names, by schema and in any. Of several values of one name the heaviest counts. */
export class NameTable<Value> {
  /** The values there are, the lightest first. */
  readonly #weights: readonly Value[];
  readonly #bySchema = new Map<string, Map<string, Value>>();
  readonly #anywhere = new Map<string, Value>();

  constructor(weights: readonly Value[]) {
    this.#weights = weights;
  }

  get(schema: string | null, name: string): Value | null {
    const names = schema === null ? this.#anywhere : this.#bySchema.get(schema);
    return names?.get(name) ?? null;
  }

  add(schema: string, name: string, value: Value): void {
    this.#put(this.#namesOf(schema), name, value);
    this.#put(this.#anywhere, name, value);
  }

  addAll(schema: string, names: readonly string[], value: Value): void {
    const ofSchema = this.#namesOf(schema);
    for (const name of names) {
      this.#put(ofSchema, name, value);
      this.#put(this.#anywhere, name, value);
    }
  }

  #namesOf(schema: string): Map<string, Value> {
    let names = this.#bySchema.get(schema);
    if (names === undefined) {
      names = new Map();
      this.#bySchema.set(schema, names);
    }
    return names;
  }

  #put(names: Map<string, Value>, name: string, value: Value): void {
    const known = names.get(name);
    if (known !== undefined && this.#weights.indexOf(known) >= this.#weights.indexOf(value)) return;
    names.set(name, value);
  }
}
