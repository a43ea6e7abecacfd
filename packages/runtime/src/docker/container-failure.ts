import { imageUnusable, memoryTooSmall, refusedByPolicy } from "../contract/index.ts";
import { placeTaken, volumeOnFile } from "../images/places/image-places.ts";
import { wasKilledAtStart } from "../isolation/killed-at-start.ts";
import { EngineError } from "./engine-client.ts";

interface FailedContainer {
  /** The reference as the job wrote it, for messages. */
  readonly image: string;
  readonly memoryBytes: number;
  /** Answers `false` where the kernel's counters can't be read. */
  readonly reachedMemoryLimit: () => Promise<boolean>;
}

/**
 * Explains why a container could not be created. The engine answers 400 when it rejects the request itself, which is
 * made from the job's limits and the image's configuration. Other statuses (404, 409, 5xx) concern the engine and may
 * be temporary.
 */
export function creationFailure(error: unknown, { image }: FailedContainer): unknown {
  if (!(error instanceof EngineError)) return error;
  const [, volume] = /cannot mount volume over existing file, file exists .*\/merged(\/.*)$/s.exec(error.message) ?? [];
  if (volume !== undefined) return volumeOnFile(image, volume);
  if (error.status !== 400 || isAboutHost(error.message)) return error;
  return refusedByPolicy(
    `the Docker engine cannot create a container of image "${image}" with the job's limits: ${error.message}`,
    "Change the job's resources or its image.",
  );
}

/**
 * Explains why a container could not be started: the image's files or configuration, the job's memory limit, or the
 * engine itself.
 */
export async function startFailure(
  error: unknown,
  { image, memoryBytes, reachedMemoryLimit }: FailedContainer,
): Promise<unknown> {
  if (!(error instanceof EngineError)) return error;
  if (wasKilledAtStart(error.message) && (await reachedMemoryLimit())) return memoryTooSmall(image, memoryBytes);
  const [, place] = /to rootfs at "\/(data|airlock)".*not a directory/s.exec(error.message) ?? [];
  if (place !== undefined) return placeTaken(image, place === "data" ? place : "airlock", "a file");
  if (error.status !== 400 || isAboutHost(error.message)) return error;
  return imageUnusable(
    image,
    "can't be started",
    "Check the image's root directory, user, volumes and environment.",
    error,
  );
}

/**
 * Whether a 400 concerns the engine's machine: the engine also answers 400 when files of its own machine are missing.
 */
function isAboutHost(message: string): boolean {
  return /bind source path does not exist|cgroup/.test(message);
}
