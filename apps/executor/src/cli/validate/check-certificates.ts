import { X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { AirlockError, errorMessage } from "@airlock/job";
import type { Config } from "../../config/options.ts";
import type { Check } from "./check.ts";

/**
 * Checks the file of NODE_EXTRA_CA_CERTS. Node only warns about a file that it can't read, and git fails much later.
 */
export function checkCertificates({ workspace: { certificateFile } }: Config): Check {
  return {
    name: "certificates",
    run: async () => {
      if (certificateFile === null) return "the system's certificates";
      const found = certificates(await readFile(certificateFile, "utf8").catch(unusable(certificateFile)));
      if (found.length === 0) return unusable(certificateFile)("it contains no certificate in PEM format");
      try {
        for (const text of found) new X509Certificate(text);
      } catch (error) {
        return unusable(certificateFile)(error);
      }
      return `${found.length} additional certificates from ${certificateFile}`;
    },
  };
}

function certificates(text: string): string[] {
  return text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

function unusable(file: string): (cause: unknown) => never {
  return (cause) => {
    throw new AirlockError(`the certificates in ${file} can't be used: ${errorMessage(cause)}`, {
      code: "certificates-unusable",
      hint: "Set NODE_EXTRA_CA_CERTS to a readable file with PEM certificates, or unset it.",
      ...(cause instanceof Error ? { cause } : {}),
    });
  };
}
