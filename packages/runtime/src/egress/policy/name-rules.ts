/** A domain name that a policy allows. Lower case, without the trailing dot. */
export interface NameRule {
  readonly name: string;
  /** `*.name`: all names below it at any depth, but not the name itself. */
  readonly subdomains: boolean;
  /** `null`: any port. */
  readonly port: number | null;
}

/** Returns the rules that match a name. */
export function matchingRules(rules: readonly NameRule[], name: string): readonly NameRule[] {
  return rules.filter((rule) => (rule.subdomains ? name.endsWith(`.${rule.name}`) : name === rule.name));
}

/** Returns the ports that the rules open together; `null` when one of them opens all ports. */
export function openPorts(rules: readonly NameRule[]): readonly number[] | null {
  const ports = new Set<number>();
  for (const { port } of rules) {
    if (port === null) return null;
    ports.add(port);
  }
  return [...ports];
}
