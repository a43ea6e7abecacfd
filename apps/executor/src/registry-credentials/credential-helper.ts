import { AirlockError } from "@airlock/job";
import type { RegistryCredentials } from "@airlock/runtime";
import { z } from "zod";
import { type HostCommandResult, runHostCommand } from "../host/host-command.ts";

export interface HelperOptions {
  /** The whole environment of the helper. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Default: 30,000. */
  readonly timeoutMs?: number;
}

const Answer = z.object({ Username: z.string().max(10_000), Secret: z.string().max(100_000) });

/** As Docker's own helpers say that they keep nothing for a registry. */
const notFound = /credentials not found/i;

/**
 * Asks `docker-credential-NAME get` for the credentials of a registry, which it reads from its standard input. Nothing that
 * it prints goes anywhere else.
 * @throws {AirlockError} reason `image-unavailable` when it fails; what it printed is not told.
 */
export async function askCredentialHelper(
  name: string,
  registry: string,
  { env, signal, timeoutMs = 30_000 }: HelperOptions,
): Promise<RegistryCredentials | undefined> {
  const program = `docker-credential-${name}`;
  // The hub's entry has the address that Docker's command line gives it.
  const server = registry === "docker.io" ? "https://index.docker.io/v1/" : registry;
  let result: HostCommandResult;
  try {
    result = await runHostCommand([program, "get"], {
      env,
      stdin: `${server}\n`,
      signal: AbortSignal.any([signal, AbortSignal.timeout(timeoutMs)]),
    });
  } catch (error) {
    signal.throwIfAborted();
    const isMissing = error instanceof Error && "code" in error && error.code === "ENOENT";
    throw failed(program, registry, isMissing ? "is not on PATH" : "could not be run, or gave no answer in time");
  }
  if (result.exitCode !== 0) {
    if (notFound.test(result.stdout)) return undefined;
    throw failed(program, registry, `ended with ${result.exitCode}`);
  }
  const answer = Answer.safeParse(parseJson(result.stdout));
  if (!answer.success) throw failed(program, registry, "answered something that is no credentials");
  const { Username, Secret } = answer.data;
  if (Secret === "") return undefined;
  return Username === "<token>"
    ? { username: "", password: "", identityToken: Secret }
    : { username: Username, password: Secret };
}

function failed(program: string, registry: string, how: string): AirlockError {
  return new AirlockError(`the credential helper ${program} ${how}, asked for ${registry}`, {
    code: "credential-helper",
    reason: "image-unavailable",
    hint: `Run it on this executor's machine, as this executor's user: printf ${registry} | ${program} get`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
