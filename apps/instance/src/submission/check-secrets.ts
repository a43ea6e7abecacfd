import { type JobSpec, secretVariable } from "@airlock/api";
import {
  AirlockError,
  type ErrorCode,
  environmentBytes,
  formatBytes,
  maximumEnvironmentBytes,
  variableBytes,
} from "@airlock/job";
import { sizesOfVisibleSecrets } from "../secrets/visible-secrets.ts";
import type { Database } from "../store/database.ts";

/**
 * Checks that a job's secrets exist and that they fit into each step's environment.
 * @throws {JobIssuesError} `unknown-secret`, `environment-too-long`, with one issue per step and name.
 */
export async function checkSecrets(db: Database, spec: JobSpec): Promise<void> {
  const names = new Set(spec.steps.flatMap((step) => step.secrets.map(({ name }) => name)));
  if (names.size === 0) return;
  const sizes = await sizesOfVisibleSecrets(db, spec, [...names]);
  requireKnown(spec, sizes);
  requireRoom(spec, sizes);
}

function requireKnown({ steps, namespace }: JobSpec, sizes: ReadonlyMap<string, number>): void {
  const missing = steps.flatMap(({ secrets }, index) =>
    secrets.filter(({ name }) => !sizes.has(name)).map(({ name }) => ({ index, name })),
  );
  if (missing.length === 0) return;
  const places = missing.map(({ index, name }) => `steps[${index}].secrets: "${name}"`);
  throw new JobIssuesError(`no such secret: ${places.join(", ")}`, {
    code: "unknown-secret",
    hint: `Set it with \`airlock secret set NAME\`, for all jobs or with --namespace ${namespace}.`,
    issues: missing.map(({ index, name }) => `steps[${index}].secrets: no secret named "${name}"`),
  });
}

function requireRoom({ steps }: JobSpec, sizes: ReadonlyMap<string, number>): void {
  const issues = steps.flatMap(({ env, secrets }, index) => {
    const variables = secrets.filter(({ file }) => !file);
    const own = Object.entries(env).map(([name, value]) => variableBytes(name, value));
    const added = variables.map((secret) => variableBytes(secretVariable(secret), "") + (sizes.get(secret.name) ?? 0));
    const all = environmentBytes([...own, ...added]);
    if (all <= maximumEnvironmentBytes) return [];
    const limit = formatBytes(maximumEnvironmentBytes);
    return [
      `steps[${index}].secrets: ${formatBytes(all)} together with the step's env; the limit per step is ${limit}`,
    ];
  });
  if (issues.length === 0) return;
  throw new JobIssuesError(issues[0] ?? "", {
    code: "environment-too-long",
    hint: "Use long secrets as files: { name: NAME, file: true }.",
    issues,
  });
}

/** Problems of a job, one line per field. Each line begins with the field's path. */
export class JobIssuesError extends AirlockError {
  readonly issues: readonly string[];

  constructor(
    message: string,
    options: { readonly code: ErrorCode; readonly hint: string; readonly issues: readonly string[] },
  ) {
    super(message, options);
    this.issues = options.issues;
  }
}
