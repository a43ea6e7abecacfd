import { createHash } from "node:crypto";
import { errorMessage } from "@airlock/job";
import type { Abortable, RegistryCredentials } from "../contract.ts";
import { imageInvalid, imageUnavailable, runtimeFailed } from "../errors.ts";
import { type ImageReference, parseImageReference } from "../images/image-reference.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { ImageReply, ProgressReply } from "./engine-replies.ts";
import { PullProgress } from "./pull-progress.ts";
import { readLines } from "./read-lines.ts";

export interface PullOptions extends Abortable {
  readonly progress: (text: string) => void;
  /** By registry. Default: anonymous. */
  readonly registryAuth?: Readonly<Record<string, RegistryCredentials>> | undefined;
}

/** Images of this repository mark, by tag, what took credentials to pull: the engine itself keeps no such record. */
const privateRepository = "airlock-private";

/**
 * The image as the engine has it, pulled when it is not there yet. One that took credentials to pull is given only to those
 * whose own credentials may read it.
 * @throws {AirlockError} reason `image-invalid` or `image-unavailable`.
 */
export async function ensureImage(engine: EngineClient, image: string, options: PullOptions): Promise<ImageReply> {
  const reference = parseImageReference(image);
  const present = await inspectImage(engine, reference.canonical);
  if (present) {
    if (await isPrivate(engine, reference, present)) await checkAccess(engine, image, options);
    return present;
  }
  await pullImage(engine, image, options);
  const pulled = await inspectImage(engine, reference.canonical);
  if (!pulled) throw imageUnavailable(image, new Error("the engine pulled it and does not have it"));
  if (credentialsFor(reference, options)) await markPrivate(engine, reference, pulled);
  return pulled;
}

function credentialsFor({ registry }: ImageReference, { registryAuth = {} }: PullOptions) {
  return Object.hasOwn(registryAuth, registry) ? registryAuth[registry] : undefined;
}

function authHeaders(reference: ImageReference, options: PullOptions): Record<string, string> {
  const credentials = credentialsFor(reference, options);
  if (!credentials) return {};
  const auth = { ...credentials, serveraddress: reference.registry };
  // URL-safe, but padded: the engine ignores in silence what it can't decode.
  const encoded = Buffer.from(JSON.stringify(auth)).toString("base64").replaceAll("+", "-").replaceAll("/", "_");
  return { "x-registry-auth": encoded };
}

function markOf({ canonical }: ImageReference): string {
  return createHash("sha256").update(canonical).digest("hex").slice(0, 40);
}

/** Whether credentials were in play when it was pulled. A public image is asked about once too often then, no more. */
async function isPrivate(engine: EngineClient, reference: ImageReference, present: ImageReply): Promise<boolean> {
  const mark = await inspectImage(engine, `${privateRepository}:${markOf(reference)}`);
  return mark?.Id === present.Id;
}

async function markPrivate(engine: EngineClient, reference: ImageReference, { Id }: ImageReply): Promise<void> {
  const query = { repo: privateRepository, tag: markOf(reference) };
  await engine.send({ method: "POST", path: `/images/${encodeURIComponent(Id)}/tag`, query });
}

/** The registry's word, by the engine, on whether these credentials reach the image. */
async function checkAccess(engine: EngineClient, image: string, options: PullOptions): Promise<void> {
  const reference = parseImageReference(image);
  options.progress(`asking ${reference.registry} whether the job may use ${reference.canonical}`);
  try {
    const path = `/distribution/${reference.canonical}/json`;
    await engine.send({ path, headers: authHeaders(reference, options), signal: options.signal });
  } catch (error) {
    options.signal.throwIfAborted();
    throw pullFailure(image, error);
  }
}

export async function inspectImage(engine: EngineClient, reference: string): Promise<ImageReply | undefined> {
  try {
    return await engine.json(ImageReply, { path: `/images/${encodeURIComponent(reference)}/json` });
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

async function pullImage(engine: EngineClient, image: string, options: PullOptions): Promise<void> {
  const { signal, progress } = options;
  const reference = parseImageReference(image);
  const { registry, repository, version } = reference;
  try {
    // Without a tag the engine would pull all tags that there are.
    const query = { fromImage: `${registry}/${repository}`, tag: version.text };
    const headers = authHeaders(reference, options);
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
    throw pullFailure(image, error);
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

/** What a registry says about an image that will not be there on the next try either. */
const final =
  /not found|manifest unknown|does not exist|unauthorized|authentication required|no basic auth credentials|denied|invalid reference|no matching manifest|unsupported (?:manifest|media)/i;
const passing = /no such host|connection refused|timeout|timed out|temporar|too ?many requests|\bEOF\b|reset by peer/i;

/** The engine tells a registry's reasons apart by words only, so this has to as well. */
export function pullFailure(image: string, error: unknown): Error {
  if (!(error instanceof EngineError)) {
    return error instanceof Error ? error : runtimeFailed(`cannot pull image "${image}"`, error);
  }
  const text = errorMessage(error);
  const isFinal = [400, 401, 403, 404].includes(error.status) || (final.test(text) && !passing.test(text));
  return isFinal ? imageInvalid(image, "cannot be pulled", error) : imageUnavailable(image, error);
}
