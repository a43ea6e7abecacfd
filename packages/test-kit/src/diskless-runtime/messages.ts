import type { ErrorCode, FailureReason } from "@airlock/job";
import type { EgressDenial, SandboxPlan, SandboxStep, TreeStats } from "@airlock/runtime";

/** The parts of a plan that fit into JSON. Checkout and files are sent before it as staged entries. */
type SentPlan = Pick<SandboxPlan, "id" | "owner" | "limits" | "egress"> & {
  readonly hasCheckout: boolean;
  readonly readOnlyFiles: readonly SentFile[];
  readonly registryAuth: NonNullable<SandboxPlan["registryAuth"]>;
};

/** A read-only file whose content is base64. */
export interface SentFile {
  readonly path: string;
  readonly content: string;
  readonly executable: boolean;
}

type SentStep = Omit<SandboxStep, "files"> & { readonly files: readonly SentFile[] };

/** Calls from the host to the agent. Paths of trees are latin1: one character per byte. */
export type Call =
  | { readonly method: "start"; readonly runtimePath: string; readonly allowHostImage: boolean }
  | { readonly method: "loadImages" }
  | { readonly method: "describe" }
  | { readonly method: "collect"; readonly owner: string; readonly keep: readonly string[] }
  | { readonly method: "evictImages" }
  | { readonly method: "createSandbox"; readonly plan: SentPlan }
  | { readonly method: "prepareImage"; readonly sandbox: string; readonly image: string }
  | { readonly method: "runStep"; readonly sandbox: string; readonly step: SentStep; readonly nextImage?: string }
  | { readonly method: "putFiles"; readonly sandbox: string }
  | { readonly method: "readFile"; readonly sandbox: string; readonly path: string; readonly maximumBytes: number }
  | { readonly method: "removeFile"; readonly sandbox: string; readonly path: string }
  | { readonly method: "list"; readonly sandbox: string; readonly path: string; readonly maximumEntries: number }
  | { readonly method: "contents"; readonly sandbox: string; readonly path: string }
  | { readonly method: "readLink"; readonly sandbox: string; readonly path: string }
  | { readonly method: "stop"; readonly sandbox: string }
  | { readonly method: "dispose"; readonly sandbox: string };

/** An entry that the agent writes to its own disk before the call that needs it. */
export type StagedEntry =
  | { readonly of: "checkout"; readonly kind: "directory"; readonly path: string; readonly mode: number }
  | { readonly of: "checkout"; readonly kind: "link"; readonly path: string; readonly target: string }
  | {
      readonly of: "checkout";
      readonly kind: "file";
      readonly path: string;
      readonly mode: number;
      readonly modifiedMs: number;
    }
  | { readonly of: "files"; readonly path: string; readonly modifiedMs: number | null }
  | { readonly of: "archive" };

export interface SentError {
  readonly message: string;
  readonly code: ErrorCode | null;
  readonly reason: FailureReason | null;
  readonly hint: string | null;
}

export interface SentEntry {
  /** latin1 */
  readonly name: string;
  readonly stats: TreeStats;
}

/** A message. `id` is that of a call; everything that belongs to the call has the same id. */
export type Message =
  /** Host to agent. */
  | { readonly type: "stage"; readonly id: number; readonly entry: StagedEntry }
  /** More bytes of the file that was staged last. */
  | { readonly type: "staged-bytes"; readonly id: number }
  | { readonly type: "call"; readonly id: number; readonly call: Call }
  | { readonly type: "abort"; readonly id: number }
  /** The host has taken the last output, so the agent may continue to read. */
  | { readonly type: "taken"; readonly id: number }
  /** Agent to host. */
  | { readonly type: "output"; readonly id: number; readonly stream: "stdout" | "stderr" }
  | { readonly type: "progress"; readonly id: number; readonly text: string }
  | { readonly type: "denied"; readonly id: number; readonly denial: EgressDenial }
  | { readonly type: "result"; readonly id: number; readonly value: unknown }
  | { readonly type: "failure"; readonly id: number; readonly error: SentError };
