import type { JobSpecInput } from "@airlock/api";
import { shellQuote } from "@airlock/job";

/**
 * The shell command that submits the same job. What options cannot say needs the job file; `usesFile` tells that it must
 * be saved first.
 */
export function commandLine(spec: JobSpecInput): { readonly text: string; readonly usesFile: boolean } {
  const { queue, repository, revision, steps, ...rest } = spec;
  const step = steps[0];
  const plain = step && steps.length === 1 && step.key === undefined && step.dir === undefined;
  if (!step || !plain || Object.keys(rest).length > 0) {
    return { text: "airlock job submit -f job.yaml --follow", usesFile: true };
  }
  const options = [
    ...(queue === undefined ? [] : ["--queue", queue]),
    ...(repository === undefined ? [] : ["--repo", repository]),
    ...(revision === undefined ? [] : ["--rev", revision]),
    "--image",
    step.image,
    ...Object.entries(step.env ?? {}).flatMap(([name, value]) => ["--env", `${name}=${value}`]),
  ];
  const pairs = Array.from({ length: options.length / 2 }, (_, index) =>
    options
      .slice(index * 2, index * 2 + 2)
      .map((word) => (word.startsWith("--") && word.length > 2 ? word : shellQuote(word)))
      .join(" "),
  );
  // The same end at the first failing command that a step's script has.
  const command = `-- sh -ec ${shellQuote(step.run ?? "")}`;
  return { text: ["airlock job submit", ...pairs, "--follow", command].join(" \\\n  "), usesFile: false };
}
