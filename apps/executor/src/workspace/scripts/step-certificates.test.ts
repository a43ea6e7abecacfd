import { X509Certificate } from "node:crypto";
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { rootCertificates } from "node:tls";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { placeStepCertificates } from "./step-certificates.ts";

it("gives steps the public authorities and the administrator's, and nothing else of his file", async () => {
  await using place = await temporaryDirectory();
  const [own = ""] = rootCertificates;
  const file = join(place.path, "ca.pem");
  const key = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----";
  await writeFile(file, `# ours\n${key}\n${own}\n`);

  const variables = await placeStepCertificates(place.path, file);

  const read = (variable: string) =>
    readFile(join(place.path, (variables[variable] ?? "").replace("/airlock/", "")), "utf8");
  const count = (text: string) => text.match(/BEGIN CERTIFICATE/g)?.length;
  expect(count(await read("SSL_CERT_FILE"))).toBe(rootCertificates.length + 1);
  expect(new X509Certificate(await read("NODE_EXTRA_CA_CERTS")).subject).toBe(new X509Certificate(own).subject);
  for (const name of ["GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]) {
    expect(variables[name]).toBe("/airlock/ca-certificates.pem");
    expect(await read(name)).not.toContain("PRIVATE KEY");
  }
  expect((await stat(join(place.path, "ca-certificates.pem"))).mode & 0o777).toBe(0o444);
});

it("says which file has no certificate", async () => {
  await using place = await temporaryDirectory();
  await expect(placeStepCertificates(place.path, join(place.path, "none.pem"))).rejects.toMatchObject({
    message: expect.stringContaining("none.pem"),
    hint: expect.stringContaining("EXECUTOR_STEP_CA_CERTIFICATES"),
  });
});
