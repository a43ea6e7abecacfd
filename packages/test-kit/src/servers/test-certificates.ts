import { execFile } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";

export interface TestCertificates {
  readonly caFile: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * Creates a certificate authority in `directory`, and a certificate for a server or a client.
 * @param name As in a certificate: `DNS:example.test` or `IP:10.0.0.1`.
 */
export async function makeCertificates(directory: string, name: string): Promise<TestCertificates> {
  const openssl = (...args: string[]) => promisify(execFile)("openssl", args, { cwd: directory });
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"];
  await openssl("req", "-x509", ...key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=authority of a test");
  await openssl("req", ...key.slice(0, 5), "-keyout", "own.key", "-out", "own.csr", "-subj", "/CN=server");
  await writeFile(join(directory, "names"), `subjectAltName=${name}\n`);
  const signing = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "names"];
  await openssl("x509", "-req", "-in", "own.csr", ...signing, "-out", "own.pem");
  const read = (file: string) => readFile(join(directory, file), "utf8");
  return {
    caFile: join(directory, "ca.pem"),
    ca: await read("ca.pem"),
    cert: await read("own.pem"),
    key: await read("own.key"),
  };
}
