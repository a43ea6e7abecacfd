/** Parses `k=v,k=v`. Each malformed part becomes one sentence in `problems`. */
export function parseLabels(text: string): { labels: Record<string, string>; problems: string[] } {
  const labels = new Map<string, string>();
  const problems: string[] = [];
  for (const part of text.split(",").map((item) => item.trim())) {
    if (part === "") continue;
    const match = /^([A-Za-z0-9][A-Za-z0-9._-]{0,62})=(.{0,255})$/.exec(part);
    if (match) labels.set(match[1] ?? "", match[2] ?? "");
    else problems.push(`"${part}" is not a label: write them as NAME=VALUE,NAME=VALUE`);
  }
  return { labels: Object.fromEntries(labels), problems };
}
