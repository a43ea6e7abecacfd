import { readFile } from "node:fs/promises";
import { getCACertificates } from "node:tls";
import { AirlockError } from "@airlock/job";
import type { ReadOnlyFile } from "@airlock/runtime";

const bundleName = "ca-certificates.pem";
const ownName = "own-ca-certificates.pem";

/** Read-only files for a job's sandbox, and the variables by which programs find them. */
export interface StepCertificates {
  readonly files: readonly ReadOnlyFile[];
  readonly variables: Readonly<Record<string, string>>;
}

export const noCertificates: StepCertificates = { files: [], variables: {} };

/**
 * Prepares the certificate authorities of `file` for the steps of a job. One file has only these, and another one has
 * the public ones, too, because most programs replace their own list by the given file.
 * @throws {AirlockError} code `certificates-unusable` when the file can't be read or has no certificate.
 */
export async function stepCertificates(file: string): Promise<StepCertificates> {
  const own = await readCertificates(file);
  const bundle = `/airlock/${bundleName}`;
  return {
    files: [pemFile(ownName, own), pemFile(bundleName, [...getCACertificates("bundled"), ...own])],
    variables: {
      SSL_CERT_FILE: bundle,
      GIT_SSL_CAINFO: bundle,
      REQUESTS_CA_BUNDLE: bundle,
      CURL_CA_BUNDLE: bundle,
      // Node adds these to its built-in certificates.
      NODE_EXTRA_CA_CERTS: `/airlock/${ownName}`,
    },
  };
}

async function readCertificates(file: string): Promise<readonly string[]> {
  const text = await readFile(file, "utf8").catch((error: unknown) => {
    throw unusable(file, error);
  });
  // Steps must not get anything else from the file, such as a private key.
  const found = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (found.length === 0) throw unusable(file, new Error("it contains no certificate in PEM format"));
  return found;
}

function pemFile(path: string, certificates: readonly string[]): ReadOnlyFile {
  return { path, content: `${certificates.map((text) => text.trim()).join("\n")}\n`, executable: false };
}

function unusable(file: string, cause: unknown): AirlockError {
  return new AirlockError(`cannot give the certificates in ${file} to steps`, {
    code: "certificates-unusable",
    reason: "internal",
    hint: "Set NODE_EXTRA_CA_CERTS to a readable file with PEM certificates, or unset EXECUTOR_STEP_CA_CERTIFICATES.",
    cause,
  });
}
