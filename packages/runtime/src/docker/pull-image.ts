import { errorMessage } from "@airlock/job";
import type { Abortable } from "../contract.ts";
import { imageInvalid, imageUnavailable, runtimeFailed } from "../errors.ts";
import { parseImageReference } from "../oci/images/image-reference.ts";
import { type EngineClient, EngineError } from "./engine-client.ts";
import { ImageReply, ProgressReply } from "./engine-replies.ts";
import { PullProgress } from "./pull-progress.ts";
import { readLines } from "./read-lines.ts";

export interface PullOptions extends Abortable {
  readonly progress: (text: string) => void;
}

/**
 * The image as the engine has it, pulled when it is not there yet.
 * @throws {AirlockError} reason `image-invalid` or `image-unavailable`.
 */
export async function ensureImage(engine: EngineClient, image: string, options: PullOptions): Promise<ImageReply> {
  const { canonical } = parseImageReference(image);
  const present = await inspectImage(engine, canonical);
  if (present) return present;
  await pullImage(engine, image, options);
  const pulled = await inspectImage(engine, canonical);
  if (!pulled) throw imageUnavailable(image, new Error("the engine pulled it and does not have it"));
  return pulled;
}

export async function inspectImage(engine: EngineClient, reference: string): Promise<ImageReply | undefined> {
  try {
    return await engine.json(ImageReply, { path: `/images/${encodeURIComponent(reference)}/json` });
  } catch (error) {
    if (error instanceof EngineError && error.status === 404) return undefined;
    throw error;
  }
}

async function pullImage(engine: EngineClient, image: string, { signal, progress }: PullOptions): Promise<void> {
  const { registry, repository, version } = parseImageReference(image);
  try {
    // Without a tag the engine would pull all tags that there are.
    const query = { fromImage: `${registry}/${repository}`, tag: version.text };
    const request = { method: "POST", path: "/images/create", query, signal } as const;
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
  /not found|manifest unknown|does not exist|unauthorized|authentication required|denied|invalid reference|no matching manifest|unsupported (?:manifest|media)/i;
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
