import { formatBytes } from "@airlock/job";

export interface PullState {
  readonly verb: "pulling" | "unpacking";
  readonly layers: number;
  readonly finishedLayers: number;
  readonly bytes: number;
  /** 0: unknown. */
  readonly totalBytes: number;
}

/** Describes a pull's progress: `pulling layer 2 of 3, 12 MiB of 40 MiB (30 %)`. */
export function pullWords({ verb, layers, finishedLayers, bytes, totalBytes }: PullState): string {
  const which = `${verb} layer ${Math.min(finishedLayers + 1, layers)} of ${layers}`;
  if (totalBytes === 0) return which;
  const percent = Math.floor((100 * Math.min(bytes, totalBytes)) / totalBytes);
  return `${which}, ${formatBytes(Math.min(bytes, totalBytes))} of ${formatBytes(totalBytes)} (${percent} %)`;
}
