// Prints the catalogue as a Markdown table for the security documentation; scripts/proofs.ts inserts it there.
import { type Attack, concerns, type RuntimeName, weakenedOn } from "../attack.ts";
import { attacks } from "../catalogue/index.ts";

const runtimes: readonly RuntimeName[] = ["docker", "oci", "microvm", "kubernetes"];

/** Whether the attack succeeds with its defence off. Mentions the runtimes only if they differ. */
function shown(attack: Attack, on: readonly RuntimeName[]): string {
  const answers = on.map((runtime) => {
    const weakened = weakenedOn(attack, runtime);
    return { runtime, text: "cannotBeShown" in weakened ? `no: ${weakened.cannotBeShown}` : "yes" };
  });
  if (new Set(answers.map(({ text }) => text)).size === 1) return answers[0]?.text ?? "";
  const texts = [...new Set(answers.map(({ text }) => text))];
  return texts
    .map(
      (text) =>
        `${answers
          .filter((answer) => answer.text === text)
          .map(({ runtime }) => runtime)
          .join(", ")}: ${text}`,
    )
    .join("; ");
}

const cell = (text: string): string => text.replaceAll("|", "\\|");

const rows = attacks.map((attack) => {
  const on = runtimes.filter((runtime) => concerns(attack, runtime));
  return `| \`${attack.id}\` | ${cell(attack.does)} | ${cell(attack.defence)} | ${on.join(", ")} | ${cell(shown(attack, on))} |`;
});
const counts = runtimes.map((runtime) => {
  const on = attacks.filter((attack) => concerns(attack, runtime));
  const proven = on.filter((attack) => !("cannotBeShown" in weakenedOn(attack, runtime)));
  return `${on.length} attacks on \`${runtime}\`, ${proven.length} of them shown to succeed with the defence off`;
});
const reasons = new Map<string, Set<string>>();
for (const { id, notInPods } of attacks) {
  if (notInPods === undefined) continue;
  const names = reasons.get(notInPods) ?? new Set();
  reasons.set(notInPods, names.add(id.startsWith("network-") ? "`network-*`" : `\`${id}\``));
}
const notTried = [...reasons].map(([why, names]) => `- ${[...names].join(", ")}: ${why}.`);
console.log(`${counts.join("; ")}.

| attack | a step … | what prevents it | runtimes | succeeds with the defence off |
|---|---|---|---|---|
${rows.join("\n")}

Not carried out on \`kubernetes\`:

${notTried.join("\n")}`);
