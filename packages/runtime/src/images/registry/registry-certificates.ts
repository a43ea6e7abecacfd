import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { getCACertificates } from "node:tls";
import { errorCode } from "../../host/error-code.ts";

/** What TLS connections to one registry need besides the usual. */
export interface RegistryCertificates {
  readonly ca: string[];
  readonly cert?: string;
  readonly key?: string;
}

/**
 * As Docker reads `certs.d`: below `HOST[:PORT]`, `*.crt` are certificate authorities, added to the usual ones, `NAME.cert`
 * with `NAME.key` is who we are. `undefined` where there is no such directory.
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
