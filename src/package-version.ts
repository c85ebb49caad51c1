import { readFileSync } from 'node:fs';

/** One folder up from src/ as from dist/. */
const file = new URL('../package.json', import.meta.url);

export function packageVersion(): string {
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
