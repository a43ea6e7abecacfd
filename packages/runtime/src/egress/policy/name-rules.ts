/** A domain name that a policy allows. Lower case, without the final dot. */
export interface NameRule {
  readonly name: string;
  /** `*.name`: every name below it, at any depth, but not itself. */
  readonly subdomains: boolean;
  /** `null`: any. */
  readonly port: number | null;
}

/** The rules that a name falls under. */
export function matchingRules(rules: readonly NameRule[], name: string): readonly NameRule[] {
  return rules.filter((rule) => (rule.subdomains ? name.endsWith(`.${rule.name}`) : name === rule.name));
}

/** The ports that the rules open together; `null` when one of them opens all. */
export function openPorts(rules: readonly NameRule[]): readonly number[] | null {
  const ports = new Set<number>();
  for (const { port } of rules) {
    if (port === null) return null;
    ports.add(port);
  }
  return [...ports];
}
