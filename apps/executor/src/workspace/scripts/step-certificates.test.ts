import { X509Certificate } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { stepCertificates } from "./step-certificates.ts";

it("steps get the public authorities and the administrator's, and nothing else from the administrator's file", async () => {
  await using place = await temporaryDirectory();
  const [own = ""] = rootCertificates;
  const file = join(place.path, "ca.pem");
  const key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
  await writeFile(file, `# ours\n${key}\n${own}\n`);

  const { files, variables } = await stepCertificates(file);

  const read = (variable: string) =>
    String(files.find(({ path }) => `/airlock/${path}` === variables[variable])?.content);
  const count = (text: string) => text.match(/BEGIN CERTIFICATE/g)?.length;
  expect(count(read("SSL_CERT_FILE"))).toBe(rootCertificates.length + 1);
  expect(new X509Certificate(read("NODE_EXTRA_CA_CERTS")).subject).toBe(new X509Certificate(own).subject);
  for (const name of ["GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]) {
    expect(variables[name]).toBe("/airlock/ca-certificates.pem");
    expect(read(name)).not.toContain("PRIVATE KEY");
  }
});

it("the error names the file that contains no certificate", async () => {
  await using place = await temporaryDirectory();
  await expect(stepCertificates(join(place.path, "none.pem"))).rejects.toMatchObject({
    message: expect.stringContaining("none.pem"),
    hint: expect.stringContaining("EXECUTOR_STEP_CA_CERTIFICATES"),
  });
});
