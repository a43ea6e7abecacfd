import type { JobSpecInput, JobView } from "@airlock/api";

/**
 * The job file that a job could have come from. Fields with default values are left out, and so are the values of
 * variables and the contents of files, which the API does not return.
 * @param options.commit Name the job's commit instead of its revision.
 */
export function specOfJob(job: JobView, { commit }: { readonly commit: boolean }): JobSpecInput {
  const { depth, tags, paths } = job.checkout;
  const checkout = {
    ...(depth === 1 ? {} : { depth }),
    ...(tags ? { tags } : {}),
    ...(paths.length > 0 ? { paths } : {}),
  };
  const revision = commit && job.commit !== null ? job.commit : job.revision;
  return {
    ...(job.queue === "default" ? {} : { queue: job.queue }),
    namespace: job.namespace,
    ...(job.repository === null ? {} : { repository: job.repository }),
    ...(job.repository === null || revision === "HEAD" ? {} : { revision }),
    ...(Object.keys(checkout).length > 0 ? { checkout } : {}),
    steps: job.steps.map((step, index) => ({
      ...(step.key === String(index) ? {} : { key: step.key }),
      image: step.image,
      run: `${step.commands.join("\n")}${step.commands.length > 1 ? "\n" : ""}`,
      ...(step.dir === "" ? {} : { dir: step.dir }),
      ...(step.secrets.length > 0
        ? { secrets: step.secrets.map(({ name, file }) => (file ? { name, file } : name)) }
        : {}),
    })),
    ...(Object.keys(job.resources).length > 0 ? { resources: job.resources } : {}),
    ...(job.egress === null ? {} : { egress: job.egress }),
    ...(job.timeoutMs === null ? {} : { timeout: durationText(job.timeoutMs) }),
    ...(job.outputs.length > 0 ? { outputs: job.outputs } : {}),
    ...(job.diff ? { diff: true } : {}),
    ...(job.upload ? { upload: true } : {}),
    ...(job.services.includes("docker") ? { services: ["docker"] } : {}),
    ...(Object.keys(job.labels).length > 0 ? { labels: job.labels } : {}),
    ...(job.priority === 0 ? {} : { priority: job.priority }),
  };
}

/** The shortest exact notation: `30m`. */
function durationText(ms: number): string {
  const units = [
    [3_600_000, "h"],
    [60_000, "m"],
    [1000, "s"],
  ] as const;
  const unit = units.find(([length]) => ms % length === 0);
  return unit ? `${ms / unit[0]}${unit[1]}` : `${ms}ms`;
}
