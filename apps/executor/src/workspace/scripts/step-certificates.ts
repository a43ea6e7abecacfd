import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { AirlockError } from "@airlock/job";

const bundleName = "ca-certificates.pem";
const ownName = "own-ca-certificates.pem";

/**
 * Puts the certificate authorities of `file` beside a job's scripts, where no step can change them: alone, and together
 * with the public ones, since most programs take one file in place of all that they know. Answers the variables by which
 * programs find them.
 * @throws {AirlockError} when the file can't be read or holds no certificate.
 */
export async function placeStepCertificates(
  scriptsDir: string,
  file: string,
): Promise<Readonly<Record<string, string>>> {
  const own = await readCertificates(file);
  await place(join(scriptsDir, ownName), own);
  await place(join(scriptsDir, bundleName), [...getCACertificates("bundled"), ...own]);
  const bundle = `/airlock/${bundleName}`;
  return {
    SSL_CERT_FILE: bundle,
    GIT_SSL_CAINFO: bundle,
    REQUESTS_CA_BUNDLE: bundle,
    CURL_CA_BUNDLE: bundle,
    // Node adds these to its own.
    NODE_EXTRA_CA_CERTS: `/airlock/${ownName}`,
  };
}

async function readCertificates(file: string): Promise<readonly string[]> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw unusable(file, error);
  });
  // Nothing else that the file may hold, like a key, is for steps.
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw unusable(file, new Error("it holds no certificate in PEM form"));
  return found;
}

async function place(path: string, certificates: readonly string[]): Promise<void> {
  await writeFile(path, `${certificates.map((text) => text.trim()).join("\n")}\n`);
  await chmod(path, 0o444);
}

function unusable(file: string, cause: unknown): AirlockError {
  return new AirlockError(`the certificates in ${file} can't be given to steps`, {
    code: "certificates-unusable",
    reason: "internal",
    hint: "Name a readable file with PEM certificates in NODE_EXTRA_CA_CERTS, or unset EXECUTOR_STEP_CA_CERTIFICATES.",
    cause,
  });
}
