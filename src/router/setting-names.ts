import { isServerFactSetting } from './functions.ts';
import type { Catalog } from './statement.ts';

const CALL = /current_setting/gi;
/** A call whose argument is one plain literal, which a cast may follow. */
const PLAIN_CALL = /current_setting"?\s*\(\s*'([^']*)'\s*[,):]/gi;

/** The literal-free form of a text hides which settings it reads. */
export function readsSettings(form: string): boolean {
  return form.search(CALL) !== -1;
}

/** Every setting that the text reads is known, and is none that tells servers apart. */
export function readsSessionSettingsOnly(text: string, catalog: Catalog): boolean {
  let plainCalls = 0;
  for (const [, name] of text.matchAll(PLAIN_CALL)) {
    const setting = name!.toLowerCase();
    if (isServerFactSetting(setting) || catalog.isServerSetting(setting)) return false;
    plainCalls += 1;
  }
  return plainCalls === (text.match(CALL)?.length ?? 0);
}
