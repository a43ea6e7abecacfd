import type { Runtime, RuntimeDescription } from "@airlock/runtime";
import type { Config } from "../../config/options.ts";
import { egressWarning } from "../../job/egress-plan.ts";
import { limitsWarning } from "../../job/limits-enforcement.ts";
import { runtimePrograms } from "../../versions/runtime-programs.ts";
import { refuseUnsafeVersions, versionFindings } from "../../versions/version-findings.ts";
import type { Check } from "./check.ts";
import { registryWays } from "./check-proxies.ts";

const diskWords: Readonly<Record<RuntimeDescription["enforces"]["disk"], string>> = {
  "file-system": "disk limited by a file system",
  watcher: "disk limited by a watcher",
  none: "disk not limited",
};

/** Opening the microvm runtime boots a guest with each monitor until one works. */
const microvmMs = 180_000;

/**
 * Checks that the runtime answers and that its programs have no known vulnerabilities. Reports what it enforces. The
 * caller closes the runtime.
 */
export function checkRuntime(config: Config, openRuntime: (signal: AbortSignal) => Promise<Runtime>): Check {
  const {
    job,
    runtime: { unenforcedLimits },
    minimumVersions,
  } = config;
  return {
    name: "runtime",
    ...(config.runtime.kind === "microvm" ? { timeoutMs: microvmMs } : {}),
    run: async ({ note, signal }) => {
      const runtime = await openRuntime(signal);
      const description = await runtime.describe({ signal });
      const { version, enforces, notes } = description;
      const findings = versionFindings(runtimePrograms(runtime.name, description));
      refuseUnsafeVersions(minimumVersions, findings);
      const withoutLimits = limitsWarning(unenforcedLimits, description);
      if (withoutLimits !== null) note(withoutLimits);
      for (const finding of findings) note(`${finding.message}. ${finding.hint}`);
      const { egressProblem, limitsProblem, servicesProblem } = description;
      for (const text of notes) if (text !== egressProblem && text !== limitsProblem) note(text);
      const withoutNetwork = egressWarning(job.egress, description);
      if (withoutNetwork !== null) note(withoutNetwork);
      if (servicesProblem !== undefined) note(`Jobs with \`upload\` go to other executors. ${servicesProblem}`);
      for (const way of registryWays(config, runtime.name)) note(way);
      const { disk, ...switches } = enforces;
      const missing = Object.entries(switches).flatMap(([what, is]) => (is ? [] : [what]));
      const weaker = missing.length > 0 ? `, cannot enforce ${missing.join(", ")}` : "";
      return `${runtime.name} ${version}${weaker}, ${diskWords[disk]}`;
    },
  };
}
