import type { JobSpec } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { Database } from "../store/database.ts";

/** @throws {AirlockError} `unknown-secret`, which names each one that jobs of this namespace and queue do not have. */
export async function requireKnownSecrets(db: Database, spec: JobSpec): Promise<void> {
  const names = new Set(spec.steps.flatMap((step) => step.secrets.map(({ name }) => name)));
  if (names.size === 0) return;
  const rows = await db
    .selectFrom("secrets")
    .select("name")
    .where("name", "in", [...names])
    .where("namespace", "in", ["", spec.namespace])
    .where("queue", "in", ["", spec.queue])
    .execute();
  const known = new Set(rows.map(({ name }) => name));
  const missing = spec.steps.flatMap((step, index) =>
    step.secrets.filter(({ name }) => !known.has(name)).map(({ name }) => ({ index, name })),
  );
  if (missing.length > 0) throw new UnknownSecretsError(missing, spec.namespace);
}

/** One line per step and name in `issues`, each beginning with the field's path. */
export class UnknownSecretsError extends AirlockError {
  readonly issues: readonly string[];

  constructor(missing: readonly { readonly index: number; readonly name: string }[], namespace: string) {
    const names = missing.map(({ index, name }) => `steps[${index}].secrets: "${name}"`);
    super(`there is no such secret: ${names.join(", ")}`, {
      code: "unknown-secret",
      hint: `Set it with \`airlock secret set NAME\`, for all jobs or with --namespace ${namespace}.`,
    });
    this.issues = missing.map(({ index, name }) => `steps[${index}].secrets: there is no secret "${name}"`);
  }
}
