import { defaultCheckout, type JobSpec, scriptLines } from "@airlock/api";
import { objectFormatOf } from "@airlock/git";
import { parseShellLine } from "./shell-line.ts";

/** Parts of a job that the base protocol has no words for. An executor that ignores them runs less than was asked for. */
const enforceable = ["egress", "timeout", "resources", "checkout", "outputs", "diff"] as const;
/** Parts without which a job would run wrong or not at all. No setting gives them to executors that ignore them. */
const indispensable = [
  "secret files",
  "upload",
  "services: docker",
  "image: host",
  "#! lines for other interpreters",
  // Sourcegraph's executors create a SHA-1 repository and then fetch into it.
  "SHA-256 repositories",
] as const;

/** A part of a job that an executor must support to run it, as it is called in messages. */
export type JobNeed = (typeof enforceable)[number] | (typeof indispensable)[number];

/**
 * What a job asks for beyond the base protocol. Only what it names itself: defaults are those of its executor.
 * @param commit the full id of its commit, if it has a repository.
 */
export function jobNeeds(spec: JobSpec, commit: string | null): JobNeed[] {
  const { depth, tags, paths } = spec.checkout ?? defaultCheckout;
  const asked: Record<JobNeed, boolean> = {
    egress: spec.egress !== undefined,
    timeout: spec.timeout !== undefined,
    resources: Object.values(spec.resources).some((resource) => resource !== undefined),
    checkout: depth !== 1 || tags || paths.length > 0,
    // Jobs stored before these fields existed do not have them.
    outputs: (spec.outputs ?? []).length > 0,
    diff: spec.diff ?? false,
    "secret files": spec.steps.some((step) => (step.secrets ?? []).some(({ file }) => file)),
    upload: spec.upload ?? false,
    "services: docker": (spec.services ?? []).includes("docker"),
    "image: host": spec.steps.some(({ image }) => image === "host"),
    "#! lines for other interpreters": spec.steps.some(
      (step) => parseShellLine(scriptLines(step)[0] ?? "").kind === "other",
    ),
    "SHA-256 repositories": commit !== null && objectFormatOf(commit) === "sha256",
  };
  return [...enforceable, ...indispensable].filter((need) => asked[need]);
}

/** What an executor said about itself. */
export interface ExecutorSupport {
  /** Whether it supports Airlock's extensions of the base protocol. */
  readonly extensions: boolean;
  readonly capabilities: readonly string[];
}

/** The needs that an executor meets. */
export function supportedNeeds({ extensions, capabilities }: ExecutorSupport): JobNeed[] {
  if (!extensions) return [];
  return [
    "egress",
    "timeout",
    "resources",
    "checkout",
    "#! lines for other interpreters",
    "SHA-256 repositories",
    ...(capabilities.includes("container-images-only") ? [] : (["image: host"] as const)),
    ...(capabilities.includes("results") ? (["outputs", "diff"] as const) : []),
    ...(capabilities.includes("secret-files") ? (["secret files"] as const) : []),
    ...(capabilities.includes("uploads") ? (["upload"] as const) : []),
    ...(capabilities.includes("docker") ? (["services: docker"] as const) : []),
  ];
}

/** The needs that a queue with `allowUnenforced` does not insist on. */
export const waivableNeeds: readonly JobNeed[] = enforceable;

/** `egress`, `egress and outputs`, `egress, outputs and diff`. */
export function listNeeds(needs: readonly string[]): string {
  if (needs.length <= 1) return needs.join("");
  return `${needs.slice(0, -1).join(", ")} and ${needs.at(-1)}`;
}
