import type { Readable } from "node:stream";
import type { ArtifactKind, StepUsage } from "@airlock/api";
import type { SendUpload } from "../uploads/upload-proxy.ts";
import type { LogEntryFields } from "./instance-client.ts";
import type { OutgoingLogEvent } from "./log-batch-json.ts";

/** Where one running job gets its input, and sends its log and its results. */
export interface JobConnection {
  /** Address that names of repositories belong to, ending with `/`. */
  readonly url: URL;
  /** Passes on a step's upload. */
  readonly sendUpload: SendUpload;
  /** The address of a repository for git, and the headers that authorize access. */
  gitSource(repository: string): { readonly url: URL; readonly headers: Readonly<Record<string, string>> };
  /** Reads a file whose content is not in the job itself. */
  readFile(bucket: string, key: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>>;
  /** @throws {InstanceError} status 409 with a `LogConflict` when the batch does not continue the stored log. */
  appendLogs(events: readonly OutgoingLogEvent[], signal: AbortSignal): Promise<void>;
  addLogEntry(entry: LogEntryFields, signal: AbortSignal): Promise<number>;
  updateLogEntry(entryId: number, entry: LogEntryFields, signal: AbortSignal): Promise<void>;
  /** Reports what a step uses, if the job's input says that reports are taken. */
  reportUsage(usage: StepUsage, signal: AbortSignal): Promise<void>;
  /** @throws {InstanceError} status 409 when the attempt has lapsed, 413 when the artifact is too large. */
  uploadArtifact(
    artifact: { readonly name: string; readonly kind: ArtifactKind },
    bytes: Readable,
    signal: AbortSignal,
  ): Promise<void>;
}
