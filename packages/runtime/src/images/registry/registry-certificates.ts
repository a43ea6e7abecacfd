import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { errorCode } from "../../host/error-code.ts";

/** Additional TLS settings for one registry. */
export interface RegistryCertificates {
  readonly ca: string[];
  readonly cert?: string;
  readonly key?: string;
}

/**
 * Reads certificates like Docker's `certs.d`. Below `HOST[:PORT]`, `*.crt` are certificate authorities, added to the
 * system's. `NAME.cert` with `NAME.key` is our client certificate. `undefined` if there is no such directory.
 */
export async function readRegistryCertificates(
  directory: string,
  registry: string,
): Promise<RegistryCertificates | undefined> {
  const place = join(directory, registry);
  const names = await readdir(place).catch((error: unknown) => {
    if (["ENOENT", "ENOTDIR"].includes(errorCode(error) ?? "")) return [];
    throw error;
  });
  const authorities = names.filter((name) => name.endsWith(".crt"));
  const own = names.filter((name) => name.endsWith(".cert")).sort()[0];
  if (authorities.length === 0 && own === undefined) return undefined;
  const ca = await Promise.all(authorities.map((name) => readFile(join(place, name), "utf8")));
  return {
    ca: [...getCACertificates("default"), ...ca],
    ...(own === undefined
      ? {}
      : {
          cert: await readFile(join(place, own), "utf8"),
          key: await readFile(join(place, own.replace(/cert$/, "key")), "utf8"),
        }),
  };
}
