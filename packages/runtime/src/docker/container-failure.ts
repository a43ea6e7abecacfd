import { imageUnusable, memoryTooSmall, refusedByPolicy } from "../contract/index.ts";
import { placeTaken, volumeOnFile } from "../images/places/image-places.ts";
import { wasKilledAtStart } from "../isolation/killed-at-start.ts";
import { EngineError } from "./engine-client.ts";

interface FailedContainer {
  /** As the job wrote it. */
  readonly image: string;
  readonly memoryBytes: number;
  /** `false` where that is out of sight. */
  readonly reachedMemoryLimit: () => Promise<boolean>;
}

/**
 * Why a container could not be created. The engine answers 400 to what it does not like about the request, which comes from
 * the job's limits and the image's configuration; 404, 409 and 5xx are about the engine itself and may pass.
 */
export function creationFailure(error: unknown, { image }: FailedContainer): unknown {
  if (!(error instanceof EngineError)) return error;
  const [, volume] = /cannot mount volume over existing file, file exists .*\/merged(\/.*)$/s.exec(error.message) ?? [];
  if (volume !== undefined) return volumeOnFile(image, volume);
  if (error.status !== 400 || isAboutHost(error.message)) return error;
  return refusedByPolicy(
    `the Docker engine does not make a container of image "${image}" with the job's limits: ${error.message}`,
    "Change the job's resources or its image.",
  );
}

/** Why a container could not be started: what its image has or declares, the job's memory limit, or the engine itself. */
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
    "Check which files it has at the top of its file system, and its user, volumes and environment.",
    error,
  );
}

/** 400 is also how the engine reports files of its own machine that are gone. */
function isAboutHost(message: string): boolean {
  return /bind source path does not exist|cgroup/.test(message);
}
