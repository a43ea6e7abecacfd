import { closestWord } from "@airlock/job";

/** A variable of the protocol that this executor does not use, and how the executor reacts to it. */
interface OtherVariable {
  /** A whole name, or a prefix that ends with `*`. */
  readonly name: string;
  /** `refused` where ignoring the variable would be dangerous or surprising. */
  readonly effect: "refused" | "ignored";
  /** Follows the variable's name in a sentence. */
  readonly why: string;
}

const ownSetup =
  "has no effect: the executor itself prepares the workspace, with the agent of EXECUTOR_KUBERNETES_AGENT_IMAGE";
const ownGuest =
  "has no effect: a virtual machine's kernel comes from `executor install microvm`, and its root file system is the step's image";

export const otherVariables: readonly OtherVariable[] = [
  {
    name: "EXECUTOR_DOCKER_HOST_MOUNT_PATH",
    effect: "refused",
    why: "is not supported: unset it, and give the data directory the same path for the executor and on the Docker engine's machine",
  },
  {
    name: "EXECUTOR_DOCKER_ADDITIONAL_MOUNTS",
    effect: "refused",
    why: "is not supported: steps see no directory of this machine except their workspace. Unset it, and put the files into the image",
  },
  { name: "EXECUTOR_FIRECRACKER_IMAGE", effect: "ignored", why: ownGuest },
  { name: "EXECUTOR_FIRECRACKER_KERNEL_IMAGE", effect: "ignored", why: ownGuest },
  { name: "EXECUTOR_FIRECRACKER_SANDBOX_IMAGE", effect: "ignored", why: ownGuest },
  {
    name: "EXECUTOR_KUBERNETES_PERSISTENCE_VOLUME_NAME",
    effect: "ignored",
    why: "has no effect: jobs don't share a claim, see KUBERNETES_JOB_VOLUME_TYPE",
  },
  {
    name: "KUBERNETES_KEEP_JOBS",
    effect: "ignored",
    why: "has no effect: pods are deleted with their jobs, and the log of a job has everything that they print",
  },
  {
    name: "KUBERNETES_SINGLE_JOB_POD",
    effect: "ignored",
    why: "has no effect: each job has exactly one pod",
  },
  { name: "KUBERNETES_SINGLE_JOB_STEP_IMAGE", effect: "ignored", why: ownSetup },
  { name: "KUBERNETES_JOB_STEP_IMAGE", effect: "ignored", why: ownSetup },
  {
    name: "KUBERNETES_GIT_CA_CERT",
    effect: "ignored",
    why: "has no effect: the executor itself clones repositories, with the authorities of NODE_EXTRA_CA_CERTS",
  },
  {
    name: "NODE_EXPORTER_URL",
    effect: "ignored",
    why: "has no effect: let Prometheus scrape the node exporter itself",
  },
  {
    name: "DOCKER_REGISTRY_NODE_EXPORTER_URL",
    effect: "ignored",
    why: "has no effect: let Prometheus scrape the registry's node exporter itself",
  },
  { name: "SRC_TRACE_LOG", effect: "ignored", why: "has no effect: this executor writes no traces" },
  {
    name: "SRC_PROF_HTTP",
    effect: "ignored",
    why: "has no effect: EXECUTOR_HEALTH_SERVER_ADDR serves the metrics, and `node --inspect` profiles",
  },
];

/** Messages about variables that the executor does not use. Problems stop the executor, notes do not. */
export function judgeOtherVariables(
  given: readonly string[],
  known: readonly string[],
): { readonly problems: readonly string[]; readonly notes: readonly string[] } {
  const problems: string[] = [];
  const notes: string[] = [];
  for (const name of given) {
    if (known.includes(name)) continue;
    const other = otherVariables.find((candidate) => matches(candidate, name));
    if (other?.effect === "refused") problems.push(`${name} ${other.why}`);
    else if (other) notes.push(`${name} ${other.why}.`);
    else if (name.startsWith("EXECUTOR_")) {
      const closest = closestWord(name, known);
      notes.push(`${name} is not a variable of this executor${closest ? `; did you mean ${closest}?` : "."}`);
    }
  }
  return { problems, notes };
}

function matches({ name }: OtherVariable, given: string): boolean {
  return name.endsWith("*") ? given.startsWith(name.slice(0, -1)) : given === name;
}
