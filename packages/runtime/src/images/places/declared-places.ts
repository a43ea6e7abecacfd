import { posix } from "node:path";
import { environmentBytes, formatBytes, maximumEnvironmentBytes, maximumVariableBytes } from "@airlock/job";
import { imageUnusable } from "../../contract/index.ts";
import { type Place, places, placeWords } from "./places.ts";

/** The parts of an image's configuration that decide where a step runs and what it finds there. */
export interface DeclaredPlaces {
  readonly workingDir: string;
  readonly volumes: readonly string[];
  /** `NAME=VALUE`. */
  readonly env: readonly string[];
}

/** Reads the `config` object of an image's configuration, as registries and engines return it. */
export function declaredPlaces(
  config:
    | {
        readonly WorkingDir?: string | null | undefined;
        readonly Volumes?: object | null | undefined;
        readonly Env?: readonly string[] | null | undefined;
      }
    | null
    | undefined,
): DeclaredPlaces {
  return { workingDir: config?.WorkingDir ?? "", volumes: Object.keys(config?.Volumes ?? {}), env: config?.Env ?? [] };
}

/** Each volume is a mount or a directory in every step. */
const mostVolumes = 100;
/** In bytes, as in the kernel. The path leaves room for the prefix of the image's root. */
const longestName = 255;
const longestPath = 3_000;

/**
 * Rejects a configuration that reaches for the host (CVE-2024-21626: a working directory below `/proc/self/fd`) or that
 * no runtime can carry out. Entrypoint, command, health check, ports and labels are never used.
 * @throws {AirlockError} reason `image-invalid`.
 */
export function checkDeclaredPlaces(image: string, { workingDir, volumes, env }: DeclaredPlaces): void {
  // The workspace covers a working directory at or below /data, and steps start in the workspace anyway.
  const inTheWay = workingDir === "" ? undefined : placeAround(workingDir);
  if (inTheWay && inTheWay !== "data") {
    throw unusable(image, `has the working directory ${quoted(workingDir)}, but ${placeWords(inTheWay)}`, "WORKDIR");
  }
  if (volumes.length > mostVolumes) throw unusable(image, `declares more than ${mostVolumes} volumes`, "VOLUME");
  for (const volume of volumes) checkVolume(image, volume);
  for (const entry of env) checkEntry(image, entry);
  const bytes = environmentBytes(env.map((entry) => Buffer.byteLength(entry)));
  if (bytes > maximumEnvironmentBytes) {
    const [all, most] = [formatBytes(bytes), formatBytes(maximumEnvironmentBytes)];
    throw unusable(image, `has environment variables of ${all} together; an image may have ${most} at most`, "ENV");
  }
}

/** A volume at /data itself is covered by the workspace. */
export function isWorkspace(volume: string): boolean {
  return absolute(volume) === "/data";
}

/** Normalizes a path: without `..`, repeated slashes, or a slash at the end. */
export function absolute(path: string): string {
  return posix.join("/", path).replace(/(.)\/+$/, "$1");
}

function checkVolume(image: string, volume: string): void {
  if (volume.includes("\0"))
    throw unusable(image, `declares the volume ${quoted(volume)}, which has a NUL byte`, "VOLUME");
  if (
    absolute(volume)
      .split("/")
      .some((name) => Buffer.byteLength(name) > longestName) ||
    Buffer.byteLength(volume) > longestPath
  ) {
    throw unusable(image, `declares the volume ${quoted(volume)}…, which is longer than a path may be`, "VOLUME");
  }
  if (absolute(volume) === "/") {
    throw unusable(image, `declares the volume ${quoted(volume)}, which is the whole file system`, "VOLUME");
  }
  const inTheWay = placeAround(volume);
  // A volume below /data would hide a part of the repository.
  if (inTheWay && !isWorkspace(volume)) {
    throw unusable(image, `declares the volume ${quoted(volume)}, but ${placeWords(inTheWay)}`, "VOLUME");
  }
}

function checkEntry(image: string, entry: string): void {
  if (entry.startsWith("=")) {
    throw unusable(image, `has the environment entry ${quoted(entry)}, which has no name`, "ENV");
  }
  const [name = ""] = entry.split("=");
  const bytes = Buffer.byteLength(entry);
  if (bytes > maximumVariableBytes) {
    const problem = `has the environment variable ${quoted(name)} of ${bytes} bytes with its name; the kernel takes ${maximumVariableBytes} at most`;
    throw unusable(image, problem, "ENV");
  }
  if (!entry.includes("\0")) return;
  throw unusable(image, `has an environment variable ${quoted(name)} with a NUL byte`, "ENV");
}

function placeAround(path: string): Place | undefined {
  const [, first] = absolute(path).split("/");
  return places.find((place) => place !== "etc" && place === first);
}

function unusable(image: string, problem: string, instruction: string) {
  return imageUnusable(image, problem, `Build the image without this ${instruction}, or use another one.`);
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 200));
}
