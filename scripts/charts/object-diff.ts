/**
 * What has to be merged into `before` to get `after`, as a strategic merge patch of Kubernetes. `undefined`: nothing.
 * Lists whose entries have names are merged by them. Others are replaced.
 */
export function objectDiff(before: unknown, after: unknown): unknown {
  if (JSON.stringify(before) === JSON.stringify(after)) return undefined;
  if (isRecord(before) && isRecord(after)) {
    const names = new Set([...Object.keys(before), ...Object.keys(after)]);
    const entries = [...names].map((name): [string, unknown] => [
      name,
      // `null` removes a field.
      name in after ? objectDiff(before[name], after[name]) : null,
    ]);
    return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
  }
  if (isNamedList(before) && isNamedList(after)) {
    return after.flatMap((entry) => {
      const known = before.find(({ name }) => name === entry.name);
      const changed = known === undefined ? entry : objectDiff(known, entry);
      return changed === undefined ? [] : [{ name: entry.name, ...(changed as object) }];
    });
  }
  return after;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isNamedList(value: unknown): value is readonly { readonly name: string }[] {
  return (
    Array.isArray(value) && value.length > 0 && value.every((each) => isRecord(each) && typeof each.name === "string")
  );
}
