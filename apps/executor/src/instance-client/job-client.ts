import type { Readable } from "node:stream";
import type { ArtifactKind, StepUsage } from "@airlock/api";
import type { SendUpload } from "../uploads/upload-proxy.ts";
import type { DequeuedJob } from "./dequeued-job.ts";
import type { InstanceClient, LogEntryFields } from "./instance-client.ts";
import type { JobConnection } from "./job-connection.ts";
import type { OutgoingLogEvent } from "./log-batch-json.ts";

/** Access to the instance for one attempt: all requests of a running job, with that job's credentials. */
export class JobClient implements JobConnection {
  readonly #client: InstanceClient;
  readonly #job: DequeuedJob;

  constructor(client: InstanceClient, job: DequeuedJob) {
    this.#client = client;
    this.#job = job;
  }

  /** The instance's URL, ending with `/`. */
  get url(): URL {
    return this.#client.url;
  }

  /** URL of a repository for git, and the headers that authorize access. */
  gitSource(repository: string): { readonly url: URL; readonly headers: Readonly<Record<string, string>> } {
    return { url: this.#client.gitUrl(repository), headers: this.#client.gitCredentials(this.#job) };
  }

  /** Reads a file whose content the instance keeps. */
  async readFile(bucket: string, key: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    return await this.#client.readFile(this.#job, bucket, key, signal);
  }

  /** @throws {InstanceError} status 409 with a `LogConflict` when the batch does not continue the stored log. */
  async appendLogs(events: readonly OutgoingLogEvent[], signal: AbortSignal): Promise<void> {
    await this.#client.appendLogs(this.#job, events, signal);
  }

  /** Passes on a step's upload with the job's token. */
  readonly sendUpload: SendUpload = (upload, signal) => this.#client.sendUpload(this.#job, upload, signal);

  async addLogEntry(entry: LogEntryFields, signal: AbortSignal): Promise<number> {
    return await this.#client.addLogEntry(this.#job, entry, signal);
  }

  async updateLogEntry(entryId: number, entry: LogEntryFields, signal: AbortSignal): Promise<void> {
    await this.#client.updateLogEntry(this.#job, entryId, entry, signal);
  }

  async reportUsage(usage: StepUsage, signal: AbortSignal): Promise<void> {
    await this.#client.reportUsage(this.#job, usage, signal);
  }

  /** @throws {InstanceError} status 409 when the attempt has lapsed, 413 when the artifact is too large. */
  async uploadArtifact(
    artifact: { readonly name: string; readonly kind: ArtifactKind },
    bytes: Readable,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#client.uploadArtifact(this.#job, artifact, bytes, signal);
  }
}
