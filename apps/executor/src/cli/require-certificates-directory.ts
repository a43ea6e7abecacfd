import { stat } from "node:fs/promises";
import { AirlockError, errorMessage } from "@airlock/job";
import type { Config } from "../config/options.ts";
import { usualCertificatesDirectory } from "../config/variables/images.ts";

/**
 * Without the directory that the administrator named, pulls would fail much later, and not say why.
 * @throws {AirlockError} code `invalid-configuration` when EXECUTOR_REGISTRY_CERTS_DIR names no directory.
 */
export async function requireCertificatesDirectory({ runtime }: Config): Promise<void> {
  const { certificatesDirectory: directory } = runtime.images;
  if (directory === usualCertificatesDirectory || runtime.kind === "docker" || runtime.kind === "kubernetes") return;
  const problem = await stat(directory).then(
    (found) => (found.isDirectory() ? null : "it is not a directory"),
    (error: unknown) => errorMessage(error),
  );
  if (problem === null) return;
  throw new AirlockError(`EXECUTOR_REGISTRY_CERTS_DIR can't be used: ${problem}`, {
    code: "invalid-configuration",
    hint: "Set it to the directory that contains a directory for each registry, or unset it.",
  });
}
