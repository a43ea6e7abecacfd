import type { JobSpecInput } from "@airlock/api";
import { shellQuote } from "@airlock/job";

export interface CommandLine {
  readonly text: string;
  /** The command reads `job.yaml`, which must be saved first. */
  readonly usesFile: boolean;
}

/** The shell command that submits the same job: with options if they suffice, else with a job file. */
export function commandLine(spec: JobSpecInput): CommandLine {
  const words = optionsOf(spec);
  if (words === undefined) return { text: "airlock job submit -f job.yaml --follow", usesFile: true };
  return { text: ["airlock job submit", ...words].join(" \\\n  "), usesFile: false };
}

/** The options with their values, and the command at the end. `undefined` if options can't express the job. */
function optionsOf(spec: JobSpecInput): string[] | undefined {
  const { queue, namespace, repository, revision, checkout = {}, steps, resources = {}, ...more } = spec;
  const { egress, timeout, labels, priority, ...others } = more;
  const { cpus, memory, shm, ...otherResources } = resources;
  const [step, ...moreSteps] = steps;
  if (step === undefined || moreSteps.length > 0) return undefined;
  const { image, run = "", env, secrets = [], ...otherFields } = step;
  if ([others, otherResources, otherFields].some((rest) => Object.keys(rest).length > 0)) return undefined;
  const egressRules = egress === undefined ? [] : typeof egress === "string" ? [egress] : egress.allow;
  return [
    ...option("--queue", queue),
    ...option("--namespace", namespace),
    ...option("--repo", repository),
    ...option("--rev", revision),
    ...option("--depth", checkout.depth),
    ...(checkout.tags ? ["--tags"] : []),
    ...(checkout.paths ?? []).flatMap((path) => option("--path", path)),
    ...option("--image", image),
    ...Object.entries(env ?? {}).flatMap(([name, value]) => option("--env", `${name}=${value}`)),
    ...secrets.flatMap((secret) => {
      const { name, file } = typeof secret === "string" ? { name: secret, file: false } : secret;
      return option(file ? "--secret-file" : "--secret", name);
    }),
    ...egressRules.flatMap((rule) => option("--egress", rule)),
    ...option("--cpus", cpus),
    ...option("--memory", memory),
    ...option("--shm", shm),
    ...option("--timeout", timeout),
    ...Object.entries(labels ?? {}).flatMap(([name, value]) => option("--label", `${name}=${value}`)),
    ...option("--priority", priority),
    "--follow",
    // `-e` ends the script at the first failing command, as in a step.
    `-- sh -ec ${shellQuote(run)}`,
  ];
}

function option(name: string, value: string | number | undefined): string[] {
  if (value === undefined) return [];
  const text = String(value);
  return [text.startsWith("-") ? `${name}=${shellQuote(text)}` : `${name} ${shellQuote(text)}`];
}
