import { AirlockError } from "@airlock/job";
import { ProgramError, type ProgramFault, type ProgramResult, runProgram } from "@airlock/process";
import type { RegistryCredentials } from "@airlock/runtime";
import { z } from "zod";

export interface HelperOptions {
  /** The complete environment of the helper. */
  readonly env: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  /** Default: 30,000. */
  readonly timeoutMs?: number;
}

const Answer = z.object({ Username: z.string().max(10_000), Secret: z.string().max(100_000) });

/** The message with which Docker's own helpers report that they have no credentials for a registry. */
const notFound = /credentials not found/i;

/**
 * Asks `docker-credential-NAME get` for the credentials of a registry. The helper reads the registry's name from its
 * standard input. Its output is used for nothing else.
 * @throws {AirlockError} reason `image-unavailable` when the helper fails. The error does not contain the helper's
 * output.
 */
export async function askCredentialHelper(
  name: string,
  registry: string,
  { env, signal, timeoutMs = 30_000 }: HelperOptions,
): Promise<RegistryCredentials | undefined> {
  const program = `docker-credential-${name}`;
  // Docker's command line stores Docker Hub's credentials under this address.
  const server = registry === "docker.io" ? "https://index.docker.io/v1/" : registry;
  let result: ProgramResult;
  try {
    result = await runProgram([program, "get"], { env, stdin: `${server}\n`, signal, timeoutMs });
  } catch (error) {
    if (!(error instanceof ProgramError)) throw error;
    throw failed(program, registry, faults[error.fault]);
  }
  if (result.exitCode !== 0) {
    if (notFound.test(result.stdout)) return undefined;
    throw failed(program, registry, `ended with ${result.exitCode ?? result.signal}`);
  }
  const answer = Answer.safeParse(parseJson(result.stdout));
  if (!answer.success) throw failed(program, registry, "printed something that is not credentials");
  const { Username, Secret } = answer.data;
  if (Secret === "") return undefined;
  return Username === "<token>"
    ? { username: "", password: "", identityToken: Secret }
    : { username: Username, password: Secret };
}

const faults: Readonly<Record<ProgramFault, string>> = {
  "not-found": "is not on PATH",
  "not-started": "could not be started",
  failed: "failed",
  "timed-out": "did not finish in time",
  "too-much-output": "printed too much",
};

function failed(program: string, registry: string, how: string): AirlockError {
  return new AirlockError(`the credential helper ${program} ${how} when asked for ${registry}`, {
    code: "credential-helper",
    reason: "image-unavailable",
    hint: `To debug it, run this as the executor's user on its machine: printf ${registry} | ${program} get`,
  });
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
