/** The name of a step in the key of its log entry, `step.RUNTIME.NAME`. `undefined`: the entry belongs to no step. */
export function stepNameOf(entryKey: string): string | undefined {
  return /^step\.[^.]+\.(.+)$/.exec(entryKey)?.[1];
}

/**
 * The index of the step that each log entry belongs to, `undefined` if none. Executors name a step by its key. Those
 * from 2022 name it by its position.
 * @param stepKeys Keys of the job's steps, in order.
 * @param entryKeys Keys of all log entries of one attempt so far, in order.
 */
export function stepIndexes(stepKeys: readonly string[], entryKeys: readonly string[]): (number | undefined)[] {
  const names = entryKeys.map(stepNameOf);
  const named = names.filter((name) => name !== undefined);
  // Keys may be numbers, too. Steps run in order, so the order of the entries tells which of both is meant.
  const byKey = named.every((name, index) => name === stepKeys[index]);
  const byPosition = !byKey && named.every((name, index) => name === String(index) && index < stepKeys.length);
  const indexes = new Map(stepKeys.map((key, index) => [byPosition ? String(index) : key, index]));
  return names.map((name) => (name === undefined ? undefined : indexes.get(name)));
}
