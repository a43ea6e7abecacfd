import { JobSpec, type JobSpecInput } from "@airlock/api";
import { AirlockError, shellQuote } from "@airlock/job";
import { describeIssues, type FieldProblem, formatPath } from "@airlock/yaml-source";
import { UsageError } from "../context/command-error.ts";

/** Flags that describe a job, as commander parsed them. */
export interface SpecFlags {
  readonly image?: string;
  readonly queue?: string;
  readonly rev?: string;
  readonly namespace?: string;
  readonly env?: readonly string[];
  readonly secret?: readonly string[];
  readonly secretFile?: readonly string[];
  readonly egress?: readonly string[];
  readonly timeout?: string;
  readonly cpus?: string;
  readonly memory?: string;
  readonly shm?: string;
  readonly label?: readonly string[];
  readonly priority?: string;
  readonly output?: readonly string[];
  readonly diff?: boolean;
  readonly upload?: boolean;
  readonly service?: readonly string[];
  readonly depth?: string;
  readonly tags?: boolean;
  readonly path?: readonly string[];
}

/**
 * Makes a job with one step from the words of COMMAND.
 * @throws {UsageError} naming the flag that is missing or wrong.
 */
export function specFromCommand(words: readonly string[], flags: SpecFlags, env: NodeJS.ProcessEnv): JobSpecInput {
  if (flags.image === undefined) {
    throw new UsageError(
      "--image is missing",
      "Name an image, such as --image alpine:3.20; a dev instance also runs --image host.",
    );
  }
  const secrets = [...(flags.secret ?? []), ...(flags.secretFile ?? []).map((name) => ({ name, file: true }))];
  const step = {
    key: "main",
    image: flags.image,
    run: words.map(shellQuote).join(" "),
    ...(secrets.length === 0 ? {} : { secrets }),
  };
  return checked(withFlags({ steps: [step] }, flags, env));
}

/** Changes a job file's job by the flags of the command line. `--env` applies to every step. */
export function specWithFlags(spec: JobSpecInput, flags: SpecFlags, env: NodeJS.ProcessEnv): JobSpecInput {
  if (flags.image !== undefined)
    throw new UsageError("--image cannot be used with -f: the file names the image of each step");
  if (flags.secret !== undefined || flags.secretFile !== undefined)
    throw new UsageError("--secret cannot be used with -f: the file names the secrets of each step");
  return checked(withFlags(spec, flags, env));
}

function withFlags(spec: JobSpecInput, flags: SpecFlags, env: NodeJS.ProcessEnv): JobSpecInput {
  const variables = pairs("--env", flags.env ?? [], (name) => env[name]);
  const labels = pairs("--label", flags.label ?? []);
  const resources = {
    ...(flags.cpus === undefined ? {} : { cpus: parseNumber("--cpus", flags.cpus) }),
    ...(flags.memory === undefined ? {} : { memory: flags.memory }),
    ...(flags.shm === undefined ? {} : { shm: flags.shm }),
  };
  const checkout = {
    ...(flags.depth === undefined ? {} : { depth: parseDepth(flags.depth) }),
    ...(flags.tags === undefined ? {} : { tags: flags.tags }),
    ...(flags.path === undefined ? {} : { paths: [...(spec.checkout?.paths ?? []), ...flags.path] }),
  };
  return {
    ...spec,
    ...(flags.queue === undefined ? {} : { queue: flags.queue }),
    ...(flags.namespace === undefined ? {} : { namespace: flags.namespace }),
    ...(flags.rev === undefined ? {} : { revision: flags.rev }),
    ...(Object.keys(checkout).length === 0 ? {} : { checkout: { ...spec.checkout, ...checkout } }),
    ...(flags.egress === undefined ? {} : { egress: parseEgress(flags.egress) }),
    ...(flags.timeout === undefined ? {} : { timeout: flags.timeout }),
    ...(flags.priority === undefined ? {} : { priority: parseNumber("--priority", flags.priority) }),
    ...(flags.output === undefined ? {} : { outputs: [...(spec.outputs ?? []), ...flags.output] }),
    ...(flags.diff === undefined ? {} : { diff: flags.diff }),
    ...(flags.upload === undefined ? {} : { upload: flags.upload }),
    ...(flags.service === undefined ? {} : { services: parseServices(flags.service) }),
    ...(Object.keys(labels).length === 0 ? {} : { labels: { ...spec.labels, ...labels } }),
    ...(Object.keys(resources).length === 0 ? {} : { resources: { ...spec.resources, ...resources } }),
    ...(Object.keys(variables).length === 0
      ? {}
      : { steps: spec.steps.map((step) => ({ ...step, env: { ...step.env, ...variables } })) }),
  };
}

function checked(spec: JobSpecInput): JobSpecInput {
  const parsed = JobSpec.safeParse(spec);
  if (!parsed.success) throw usageError(describeIssues(parsed.error.issues, { schema: JobSpec, input: spec }));
  return spec;
}

/** Describes problems that the instance found in a job from the command line, by flag. */
export function refusedFlags(problems: readonly FieldProblem[]): AirlockError {
  const { message, hint } = usageError(problems);
  return new AirlockError(message, { code: "refused", ...(hint === undefined ? {} : { hint }) });
}

/** Describes problems of a job from the command line, by flag. */
function usageError(problems: readonly FieldProblem[]): UsageError {
  const lines = problems.map(({ path, message }) => {
    const flag = flagOf(path);
    return flag ? `${flag}: ${message}` : message;
  });
  const [help] = problems.flatMap((problem) => problem.help ?? []);
  return new UsageError([...new Set(lines)].join("\n"), problems.length === 1 ? help : undefined);
}

function flagOf(path: readonly PropertyKey[]): string {
  const [field, , stepField] = path;
  switch (field) {
    case "queue":
    case "namespace":
    case "egress":
    case "timeout":
    case "priority":
      return `--${field}`;
    case "revision":
      return "--rev";
    case "repository":
      return "--repo";
    case "checkout":
      return path[1] === "paths" ? "--path" : `--${String(path[1])}`;
    case "outputs":
      return "--output";
    case "labels":
      return "--label";
    case "resources":
      return path[1] === undefined ? "" : `--${String(path[1])}`;
    case "steps":
      if (stepField === "image") return "--image";
      if (stepField === "env") return "--env";
      if (stepField === "secrets") return "--secret";
      return stepField === "run" ? "COMMAND" : formatPath(path);
    default:
      return formatPath(path);
  }
}

/** Parses `K=V` pairs. `K` alone takes its value from `inherited(K)`, if given. */
function pairs(
  flag: string,
  texts: readonly string[],
  inherited?: (name: string) => string | undefined,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    texts.map((text) => {
      const at = text.indexOf("=");
      if (at > 0) return [text.slice(0, at), text.slice(at + 1)];
      const value = at === -1 ? inherited?.(text) : undefined;
      if (value !== undefined) return [text, value];
      const why =
        at === -1 && inherited
          ? `${text} is not set in this shell; write ${text}=VALUE`
          : `"${text}" is not an environment variable; write it as NAME=VALUE`;
      throw new UsageError(`${flag} ${why}`);
    }),
  );
}

function parseEgress(values: readonly string[]): NonNullable<JobSpecInput["egress"]> {
  const [only] = values;
  if (values.length === 1 && (only === "none" || only === "public")) return only;
  const keyword = values.find((value) => value === "none" || value === "public");
  if (keyword) throw new UsageError(`--egress ${keyword} cannot be used with another --egress`);
  return { allow: [...values] };
}

function parseServices(names: readonly string[]): NonNullable<JobSpecInput["services"]> {
  const unknown = names.find((name) => name !== "docker");
  if (unknown !== undefined)
    throw new UsageError(`--service: there is no service "${unknown}"; the only one is docker`);
  return "docker";
}

function parseDepth(text: string): number | "full" {
  return text === "full" ? text : parseNumber("--depth", text);
}

function parseNumber(flag: string, text: string): number {
  const value = text.trim() === "" ? Number.NaN : Number(text);
  if (!Number.isFinite(value)) throw new UsageError(`${flag}: must be a number, not "${text}"`);
  return value;
}
