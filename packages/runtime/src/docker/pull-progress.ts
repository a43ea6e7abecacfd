import { pullWords } from "../images/pulls/pull-words.ts";
import type { ProgressReply } from "./engine-replies.ts";

interface Layer {
  readonly current: number;
  readonly total: number;
  readonly done: boolean;
}

/** Turns the engine's messages about one pull into a line of text that tells its progress. */
export class PullProgress {
  readonly #layers = new Map<string, Layer>();

  /** Returns `undefined` if the message has no information for users. */
  update({ id, status = "", progressDetail }: ProgressReply): string | undefined {
    if (id === undefined) return undefined;
    const known = this.#layers.get(id);
    // The first message of a pull carries the tag as its id.
    if (!known && !/^(?:Pulling fs layer|Waiting|Already exists|Downloading|Download complete)/.test(status)) {
      return undefined;
    }
    const done = known?.done || status === "Already exists" || status === "Pull complete";
    const downloading = status === "Downloading";
    this.#layers.set(id, {
      current: downloading ? (progressDetail?.current ?? 0) : (known?.current ?? 0),
      total: downloading ? (progressDetail?.total ?? 0) : (known?.total ?? 0),
      done,
    });
    return this.#text(status === "Extracting" ? "unpacking" : "pulling");
  }

  #text(verb: "pulling" | "unpacking"): string {
    const layers = [...this.#layers.values()];
    const finished = layers.filter(({ done }) => done).length;
    if (finished === layers.length) return `pulled ${layers.length} layers`;
    return pullWords({
      verb,
      layers: layers.length,
      finishedLayers: finished,
      bytes: layers.reduce((sum, layer) => sum + Math.min(layer.current, layer.total), 0),
      totalBytes: layers.reduce((sum, layer) => sum + layer.total, 0),
    });
  }
}
