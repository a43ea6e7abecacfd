export interface FieldIssues {
  /** Problems by field. */
  readonly fields: ReadonlyMap<string, string>;
  /** Issues that concern no field of the form. */
  readonly others: readonly string[];
}

/**
 * Assigns issue lines (`steps[0].image: not an image`) to the fields of a form. A field also gets the issues of paths
 * below it: `steps[0].env` gets those of `steps[0].env.FOO`.
 */
export function issuesByField(lines: readonly string[], fields: Iterable<string>): FieldIssues {
  const longestFirst = [...fields].sort((a, b) => b.length - a.length);
  const found = new Map<string, string>();
  const others: string[] = [];
  for (const line of lines) {
    const field = longestFirst.find((name) => line.startsWith(name) && /^(?:[:.[]|$)/.test(line.slice(name.length)));
    if (field === undefined) {
      others.push(line);
      continue;
    }
    const rest = line.slice(field.length);
    const message = rest.startsWith(": ") ? rest.slice(2) : rest.replace(/^\./, "");
    const before = found.get(field);
    found.set(field, before === undefined ? message : `${before}; ${message}`);
  }
  return { fields: found, others };
}
