import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, rename, rm } from "node:fs/promises";
import path from "node:path";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import { describeFileError } from "../context/describe-file-error.ts";

const StoredInstance = z.object({ name: z.string().min(1), url: z.string(), token: z.string().min(1) });
export type StoredInstance = z.output<typeof StoredInstance>;

/** Content of the credentials file, which `airlock login` writes. */
const Credentials = z.object({
  /** Name of the instance that commands use without another choice. */
  current: z.string().nullable(),
  instances: z.array(StoredInstance),
});
export type Credentials = z.output<typeof Credentials>;

/** The file with the tokens of `airlock login`; `undefined` for an account without a home directory. */
export function credentialsFile({ XDG_CONFIG_HOME, HOME }: NodeJS.ProcessEnv): string | undefined {
  // The XDG specification says that relative paths are ignored.
  if (XDG_CONFIG_HOME && path.isAbsolute(XDG_CONFIG_HOME)) {
    return path.join(XDG_CONFIG_HOME, "airlock", "credentials.json");
  }
  return HOME && path.isAbsolute(HOME) ? path.join(HOME, ".config", "airlock", "credentials.json") : undefined;
}

/** @throws {AirlockError} `connection-invalid`, `connection-not-private`. */
export async function readCredentials(env: NodeJS.ProcessEnv): Promise<Credentials> {
  const file = credentialsFile(env);
  const text = file === undefined ? undefined : await readPrivate(file);
  if (text === undefined) return { current: null, instances: [] };
  const parsed = Credentials.safeParse(parseJson(text));
  if (parsed.success) return parsed.data;
  throw new AirlockError(`${file} is not a file with credentials`, {
    code: "connection-invalid",
    hint: "Remove it and log in again with `airlock login URL`.",
  });
}

async function readPrivate(file: string): Promise<string | undefined> {
  try {
    // One handle for both, so that the file that was checked is the one that is read.
    await using handle = await open(file);
    const { uid, mode } = await handle.stat();
    if (uid !== (process.getuid?.() ?? uid) || (mode & 0o077) !== 0) {
      throw new AirlockError(`${file} is not private: other users can use its tokens or change them`, {
        code: "connection-not-private",
        hint: "Make it yours and remove the rights of others with `chmod 600`. Revoke the tokens if others use this machine.",
      });
    }
    return await handle.readFile("utf8");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (error instanceof AirlockError) throw error;
    throw new AirlockError(`cannot read ${file}: ${describeFileError(error)}`, {
      code: "connection-invalid",
      hint: "Make it readable for you only, or set AIRLOCK_URL and AIRLOCK_TOKEN.",
      cause: error,
    });
  }
}

/**
 * Replaces the credentials file as a whole. Only its owner can read it.
 * @throws {AirlockError} `connection-invalid`.
 */
export async function writeCredentials(env: NodeJS.ProcessEnv, credentials: Credentials): Promise<string> {
  const file = credentialsFile(env);
  if (file === undefined) {
    throw new AirlockError("there is no directory for credentials: HOME and XDG_CONFIG_HOME are not set", {
      code: "connection-invalid",
      hint: "Set one of them to an absolute path, or use AIRLOCK_URL and AIRLOCK_TOKEN instead.",
    });
  }
  const temporary = `${file}.${randomBytes(4).toString("hex")}`;
  try {
    const directory = path.dirname(file);
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await chmod(directory, 0o700);
    await using handle = await open(temporary, "wx", 0o600);
    await handle.writeFile(`${JSON.stringify(credentials, null, 2)}\n`);
    await handle.sync();
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw new AirlockError(`cannot write ${file}: ${describeFileError(error)}`, {
      code: "connection-invalid",
      hint: "Make its directory writable, or set XDG_CONFIG_HOME to another one.",
      cause: error,
    });
  }
  return file;
}

export function currentInstance({ current, instances }: Credentials): StoredInstance | undefined {
  return instances.find(({ name }) => name === current);
}

/**
 * Finds an instance by its name or its address.
 * @throws {AirlockError} `no-connection`.
 */
export function findInstance({ instances }: Credentials, choice: string): StoredInstance {
  const address = URL.canParse(choice) ? new URL(choice).href.replace(/\/*$/, "/") : undefined;
  const found = instances.find(({ name, url }) => name === choice || url === address);
  if (found) return found;
  throw new AirlockError(`you are not logged in to an instance named "${choice}"`, {
    code: "no-connection",
    hint:
      instances.length === 0
        ? "Log in with `airlock login URL`."
        : `You are logged in to ${instances.map(({ name }) => name).join(", ")}. Log in to others with \`airlock login URL\`.`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
