import { randomBytes } from "node:crypto";
import { type CoreV1Api, type KubeConfig, PatchStrategy, setHeaderOptions } from "@kubernetes/client-node";
import { imageUnusable } from "../contract/errors.ts";
import type { GuestAgent } from "../microvm/guest/guest-agent.ts";
import { GuestCallError } from "../microvm/guest/guest-call-error.ts";
import { PayloadWriter } from "../microvm/guest/payload-writer.ts";
import { containerRefused } from "./api-failure.ts";
import { callApi } from "./call-api.ts";
import { followContainerEvents } from "./container-events.ts";
import { containerEventFailure, podFailure, stepContainerFailure } from "./pod-failure.ts";
import type { PodOptions } from "./pod-options.ts";
import { makeStepContainer } from "./pod-spec.ts";
import type { PodWatch } from "./pod-watch.ts";

export interface SlotParts {
  readonly config: KubeConfig;
  readonly api: CoreV1Api;
  readonly namespace: string;
  readonly pod: string;
  readonly watch: PodWatch;
  readonly agent: GuestAgent;
  readonly options: PodOptions;
}

/** A container that waits for its step. */
export interface Slot {
  readonly index: number;
  readonly image: string;
}

const openSlotMethod = 64;
const slotCount = 4;
const needsShell = "Steps are shell scripts: use an image with a shell for this machine's architecture.";

/** Adds a container to the pod for each step, before the step's turn comes, and tells why an image can't be used. */
export class StepSlots {
  readonly #parts: SlotParts;
  readonly #free = Array.from({ length: slotCount }, (_, index) => index);
  /** Slots that wait or are being opened, by image. */
  readonly #waiting = new Map<string, Promise<Slot>>();
  #count = 0;

  constructor(parts: SlotParts) {
    this.#parts = parts;
  }

  /** Makes sure that a container of this image waits. Shares the work with other calls. */
  prepare(image: string, signal: AbortSignal, progress: (text: string) => void = () => {}): Promise<Slot> {
    const known = this.#waiting.get(image);
    if (known) return known;
    const opening = this.#open(image, signal, progress);
    this.#waiting.set(image, opening);
    opening.catch(() => {
      if (this.#waiting.get(image) === opening) this.#waiting.delete(image);
    });
    return opening;
  }

  /** Takes a waiting container for a step. */
  async take(image: string, signal: AbortSignal): Promise<Slot> {
    const slot = await this.prepare(image, signal);
    this.#waiting.delete(image);
    return slot;
  }

  release({ index }: Slot): void {
    this.#free.push(index);
  }

  async #open(image: string, signal: AbortSignal, progress: (text: string) => void): Promise<Slot> {
    const { config, api, namespace, pod, watch, agent, options } = this.#parts;
    // More images than slots wait: the longest-waiting container is given up.
    const index = this.#free.shift() ?? (await this.#giveUpOne());
    this.#count += 1;
    const name = `step-${this.#count}`;
    const token = randomBytes(16);
    const failed = new AbortController();
    const either = AbortSignal.any([signal, failed.signal]);
    const payload = new PayloadWriter().uint8(openSlotMethod).uint8(index).bytes(token).toBuffer();
    const opened = agent.connection.call(payload, { signal: either, stallMs: agent.stallMs, mayBeSilent: true });
    const watching = watch.until(
      pod,
      (current) => {
        const status = current?.status?.ephemeralContainerStatuses?.find((each) => each.name === name);
        const problem = podFailure(current) ?? stepContainerFailure(status, image);
        if (problem) throw problem;
        return undefined;
      },
      either,
    );
    watching.catch((error) => failed.abort(error));
    opened.catch(() => {});
    using _ = followContainerEvents(config, { namespace, pod, container: name }, (event) => {
      const problem = containerEventFailure(event, image);
      if (problem) failed.abort(problem);
      else if (event.reason === "Pulling" || event.reason === "Pulled") progress(event.message ?? event.reason);
    });
    try {
      // The agent refuses a container whose token it does not know yet. Its answer comes after the call before it.
      await agent.stats(either);
      const body = {
        spec: { ephemeralContainers: [makeStepContainer({ name, image, token: token.toString("hex") }, options)] },
      };
      const headers = setHeaderOptions("Content-Type", PatchStrategy.StrategicMergePatch);
      try {
        const giveUpMs = options.abandonSeconds * 1000;
        // The container's name makes it safe to send the same one twice.
        await callApi(() => api.patchNamespacedPodEphemeralcontainers({ namespace, name: pod, body }, headers), {
          signal: either,
          giveUpMs,
        });
      } catch (error) {
        if (either.aborted) throw either.reason;
        throw containerRefused(image, error);
      }
      await opened;
      return { index, image };
    } catch (error) {
      this.#free.push(index);
      if (error instanceof GuestCallError && error.code === "system")
        throw imageUnusable(image, "has no working /bin/sh", needsShell, error);
      throw error;
    } finally {
      failed.abort(new Error("the container waits"));
    }
  }

  async #giveUpOne(): Promise<number> {
    for (const [image, opening] of this.#waiting) {
      this.#waiting.delete(image);
      return (await opening).index;
    }
    throw new Error("no slot is free");
  }
}
