import type { JobSpecInput, JobView } from "@airlock/api";

/** A name and a value as typed. `id` identifies the row in the form. */
export interface EnvRow {
  readonly id: number;
  readonly name: string;
  readonly value: string;
}

export interface StepValues {
  readonly id: number;
  readonly key: string;
  readonly image: string;
  readonly run: string;
  readonly dir: string;
  readonly env: readonly EnvRow[];
  /** Names of the secrets that the step gets as variables. */
  readonly secrets: readonly string[];
  readonly secretFiles: readonly string[];
}

/** The submit form as typed, before validation. */
export interface FormValues {
  readonly queue: string;
  readonly repository: string;
  readonly revision: string;
  /** A number or `full`. */
  readonly depth: string;
  readonly tags: boolean;
  /** Directories and files to check out, one per line. */
  readonly paths: string;
  readonly namespace: string;
  readonly steps: readonly StepValues[];
  readonly cpus: string;
  readonly memory: string;
  readonly disk: string;
  readonly pids: string;
  readonly shm: string;
  readonly egress: "default" | "none" | "public" | "allow";
  /** Rules of the allow-list, one per line. */
  readonly allow: string;
  readonly timeout: string;
  readonly outputs: string;
  readonly diff: boolean;
  readonly upload: boolean;
  readonly docker: boolean;
  readonly labels: readonly EnvRow[];
  readonly priority: string;
}

let lastId = 0;
export function newId(): number {
  lastId += 1;
  return lastId;
}

export function emptyStep(): StepValues {
  return { id: newId(), key: "", image: "", run: "", dir: "", env: [], secrets: [], secretFiles: [] };
}

export function emptyForm(repository = ""): FormValues {
  return {
    queue: "",
    repository,
    revision: "",
    depth: "",
    tags: false,
    paths: "",
    namespace: "",
    steps: [emptyStep()],
    cpus: "",
    memory: "",
    disk: "",
    pids: "",
    shm: "",
    egress: "default",
    allow: "",
    timeout: "",
    outputs: "",
    diff: false,
    upload: false,
    docker: false,
    labels: [],
    priority: "",
  };
}

/** Fills the form from an existing job. Values of variables are left out, because the API never returns them. */
export function formOf(job: JobView): FormValues {
  const text = (value: number | string | undefined) => (value === undefined ? "" : String(value));
  const { cpus, memory, disk, pids, shm } = job.resources;
  const { egress } = job;
  return {
    queue: job.queue === "default" ? "" : job.queue,
    repository: job.repository ?? "",
    revision: job.revision === "HEAD" ? "" : job.revision,
    depth: job.checkout.depth === 1 ? "" : String(job.checkout.depth),
    tags: job.checkout.tags,
    paths: job.checkout.paths.join("\n"),
    namespace: job.namespace,
    steps: job.steps.map((step, index) => ({
      id: newId(),
      key: step.key === String(index) ? "" : step.key,
      image: step.image,
      run: step.commands.join("\n"),
      dir: step.dir,
      env: [],
      secrets: step.secrets.filter(({ file }) => !file).map(({ name }) => name),
      secretFiles: step.secrets.filter(({ file }) => file).map(({ name }) => name),
    })),
    cpus: text(cpus),
    memory: text(memory),
    disk: text(disk),
    pids: text(pids),
    shm: text(shm),
    egress: egress === null ? "default" : typeof egress === "string" ? egress : "allow",
    allow: egress === null || typeof egress === "string" ? "" : egress.allow.join("\n"),
    timeout: job.timeoutMs === null ? "" : durationText(job.timeoutMs),
    outputs: job.outputs.join("\n"),
    diff: job.diff,
    upload: job.upload,
    docker: job.services.includes("docker"),
    labels: Object.entries(job.labels).map(([name, value]) => ({ id: newId(), name, value })),
    priority: job.priority === 0 ? "" : String(job.priority),
  };
}

/** The job that the form describes. Empty fields are left out; invalid ones are kept for validation. */
export function toJobSpec(values: FormValues): JobSpecInput {
  const resources = {
    ...optional("cpus", number(values.cpus)),
    ...optional("memory", trimmed(values.memory)),
    ...optional("disk", trimmed(values.disk)),
    ...optional("pids", number(values.pids)),
    ...optional("shm", trimmed(values.shm)),
  };
  const checkout = checkoutOf(values);
  const labels = recordOf(values.labels);
  const outputs = lines(values.outputs);
  return {
    ...optional("queue", trimmed(values.queue)),
    ...optional("repository", trimmed(values.repository)),
    ...optional("revision", trimmed(values.revision)),
    ...(Object.keys(checkout).length > 0 ? { checkout } : {}),
    ...optional("namespace", trimmed(values.namespace)),
    steps: values.steps.map((step) => {
      const env = recordOf(step.env);
      const secrets = [...step.secrets, ...step.secretFiles.map((name) => ({ name, file: true }))];
      return {
        ...optional("key", trimmed(step.key)),
        image: step.image.trim(),
        run: step.run,
        ...optional("dir", trimmed(step.dir)),
        ...(Object.keys(env).length > 0 ? { env } : {}),
        ...(secrets.length > 0 ? { secrets } : {}),
      };
    }),
    ...(Object.keys(resources).length > 0 ? { resources } : {}),
    ...egressOf(values),
    ...optional("timeout", trimmed(values.timeout)),
    ...(outputs.length > 0 ? { outputs } : {}),
    ...(values.diff ? { diff: true } : {}),
    ...(values.upload ? { upload: true } : {}),
    ...(values.docker ? { services: ["docker"] as const } : {}),
    ...(Object.keys(labels).length > 0 ? { labels } : {}),
    ...optional("priority", number(values.priority)),
  };
}

/** Paths of all fields in the notation of issues. */
export function fieldPaths(values: FormValues): string[] {
  const ofSteps = values.steps.flatMap((_, index) =>
    ["key", "image", "run", "dir", "env", "secrets"].map((name) => `steps[${index}].${name}`),
  );
  const ofResources = ["cpus", "memory", "disk", "pids", "shm"].map((name) => `resources.${name}`);
  return [
    ...ofSteps,
    ...ofResources,
    ...["depth", "tags", "paths"].map((name) => `checkout.${name}`),
    ...["queue", "repository", "revision", "namespace", "egress", "timeout", "outputs", "labels", "priority"],
  ];
}

/** The shortest exact notation: `30m`. */
function durationText(ms: number): string {
  const unit = (
    [
      [3_600_000, "h"],
      [60_000, "m"],
      [1000, "s"],
    ] as const
  ).find(([length]) => ms % length === 0);
  return unit ? `${ms / unit[0]}${unit[1]}` : `${ms}ms`;
}

function checkoutOf(values: FormValues): NonNullable<JobSpecInput["checkout"]> {
  const paths = lines(values.paths);
  const depth = trimmed(values.depth);
  return {
    ...optional("depth", depth === "full" ? depth : number(values.depth)),
    ...(values.tags ? { tags: true } : {}),
    ...(paths.length > 0 ? { paths } : {}),
  };
}

function egressOf(values: FormValues): Pick<JobSpecInput, "egress"> {
  if (values.egress === "default") return {};
  if (values.egress !== "allow") return { egress: values.egress };
  return { egress: { allow: lines(values.allow) } };
}

function optional<K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [P in K]: V });
}

function trimmed(text: string): string | undefined {
  return text.trim() === "" ? undefined : text.trim();
}

function number(text: string): number | undefined {
  return text.trim() === "" ? undefined : Number(text);
}

function lines(text: string): string[] {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
}

function recordOf(rows: readonly EnvRow[]): Record<string, string> {
  return Object.fromEntries(rows.filter((row) => row.name.trim() !== "").map((row) => [row.name.trim(), row.value]));
}
