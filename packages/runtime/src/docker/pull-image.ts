import { errorMessage } from "@airlock/job";
import type { RegistryCredentials } from "../contract/index.ts";
import { imageInvalid, imageUnavailable, notMadeFor, runtimeFailed } from "../contract/index.ts";
import type { TaskOptions } from "../images/pulls/shared-tasks.ts";
import type { ImageReference } from "../images/reference/image-reference.ts";
import { BusyRegistryError, busyHint, RegistryPatience } from "../images/registry/registry-patience.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { ImageReply, ProgressReply } from "./engine-replies.ts";
import { PullProgress } from "./pull-progress.ts";
import { readLines } from "./read-lines.ts";

/** Tags in this repository mark images that were pulled with credentials. The engine keeps no such record. */
const privateRepository = "airlock-private";

/**
 * The tag that marks an image. It contains the image's id, because jobs may request the image by another tag or by
 * digest.
 */
export function privateMark(id: string): string {
  return `${privateRepository}:${id.replace(/^sha256:/, "").slice(0, 64)}`;
}

/** Whether the image was pulled with credentials. For a public image this only costs an unnecessary access check. */
export async function isPrivate(engine: EngineClient, { Id }: ImageReply): Promise<boolean> {
  return (await inspectImage(engine, privateMark(Id)))?.Id === Id;
}

export async function markPrivate(engine: EngineClient, { Id }: ImageReply): Promise<void> {
  const [repository = "", tag = ""] = privateMark(Id).split(":");
  await tagImage(engine, Id, repository, tag);
}

export async function tagImage(engine: EngineClient, image: string, repo: string, tag: string): Promise<void> {
  await engine.send({ method: "POST", path: `/images/${encodeURIComponent(image)}/tag`, query: { repo, tag } });
}

function authHeaders(registry: string, credentials: RegistryCredentials | undefined): Record<string, string> {
  if (!credentials) return {};
  const { username, password, identityToken, registryToken } = credentials;
  const auth = registryToken
    ? { registrytoken: registryToken }
    : { username, password, ...(identityToken ? { identitytoken: identityToken } : {}) };
  const text = JSON.stringify({ ...auth, serveraddress: registry });
  // URL-safe base64 with padding: the engine silently ignores what it can't decode.
  return { "x-registry-auth": Buffer.from(text).toString("base64").replaceAll("+", "-").replaceAll("/", "_") };
}

/** Has the engine ask the registry whether these credentials may read the image. */
export async function checkAccess(
  engine: EngineClient,
  { registry, canonical }: ImageReference,
  credentials: RegistryCredentials | undefined,
  task: TaskOptions,
): Promise<void> {
  const { signal, progress } = task;
  progress(`asking ${registry} whether the job may use ${canonical}`);
  const request = { path: `/distribution/${canonical}/json`, headers: authHeaders(registry, credentials), signal };
  await new RegistryPatience(task).run(registry, async () => {
    try {
      await engine.send(request);
    } catch (error) {
      signal.throwIfAborted();
      throw pullFailure(canonical, error);
    }
  });
}

export async function inspectImage(engine: EngineClient, reference: string): Promise<ImageReply | undefined> {
  try {
    return await engine.json(ImageReply, { path: `/images/${encodeURIComponent(reference)}/json` });
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

/**
 * Has the engine pull the image's version from `name`: its own name or a mirror's.
 * @throws {AirlockError} reason `image-invalid` or `image-unavailable`.
 */
export async function pullImage(
  engine: EngineClient,
  { reference, name }: { readonly reference: ImageReference; readonly name: string },
  credentials: RegistryCredentials | undefined,
  { signal, progress }: TaskOptions,
): Promise<void> {
  try {
    // Without a tag the engine would pull every tag.
    const query = { fromImage: name, tag: reference.version.text };
    const headers = authHeaders(reference.registry, credentials);
    const request = { method: "POST", path: "/images/create", query, headers, signal } as const;
    const follow = new PullProgress();
    let said = "";
    for await (const message of progressMessages(engine, request)) {
      const text = follow.update(message);
      if (text === undefined || text === said) continue;
      said = text;
      progress(text);
    }
  } catch (error) {
    signal.throwIfAborted();
    throw pullFailure(reference.canonical, error);
  }
}

/** @throws {EngineError} for an error that the engine reports in the middle of its answer, too. */
export async function* progressMessages(
  engine: EngineClient,
  request: Parameters<EngineClient["stream"]>[0],
): AsyncGenerator<ProgressReply> {
  const body = await engine.stream(request);
  for await (const line of readLines(body)) {
    const message = ProgressReply.parse(JSON.parse(line));
    if (message.error !== undefined || message.errorDetail !== undefined) {
      const { errorDetail, error = "unknown error" } = message;
      throw new EngineError(errorDetail?.code ?? 500, errorDetail?.message ?? error);
    }
    yield message;
  }
}

/** Registry errors that will not go away on the next try. */
const final =
  /not found|manifest unknown|does not exist|unauthorized|authentication required|no basic auth credentials|denied|invalid reference|no matching manifest|unsupported (?:manifest|media)/i;
/** Errors of an overloaded registry. The engine does not pass on how long to wait. */
const busy = /too ?many ?requests|\b429\b|503 Service Unavailable/i;
const passing = /no such host|connection refused|timeout|timed out|temporar|too ?many requests|\bEOF\b|reset by peer/i;

/**
 * Maps a failed pull to a contract error. The engine reports a registry's reason only as text, so we match the text.
 */
export function pullFailure(image: string, error: unknown): Error {
  if (!(error instanceof EngineError)) {
    return error instanceof Error ? error : runtimeFailed(`cannot pull image "${image}"`, error);
  }
  const text = errorMessage(error);
  if (busy.test(text)) return imageUnavailable(image, new BusyRegistryError(text, undefined), busyHint);
  const platform = /no matching manifest for (linux\/[a-z0-9]+)/.exec(text)?.[1];
  if (platform !== undefined) return notMadeFor(image, platform);
  const isFinal = [400, 401, 403, 404].includes(error.status) || (final.test(text) && !passing.test(text));
  return isFinal ? imageInvalid(image, "cannot be pulled", error) : imageUnavailable(image, error);
}
