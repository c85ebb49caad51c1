/**
 * Settings that are lists of names (GUC_LIST_QUOTE): SET takes one literal a name, set_config() the
 * list as one text.
 */
export const nameLists: ReadonlySet<string> = new Set([
  'search_path',
  'temp_tablespaces',
  'local_preload_libraries',
  'session_preload_libraries',
]);
