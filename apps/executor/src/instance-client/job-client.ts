import type { Readable } from "node:stream";
import type { ArtifactKind } from "@airlock/api";
import type { DequeuedJob } from "./dequeued-job.ts";
import type { InstanceClient, LogEntryFields } from "./instance-client.ts";
import type { OutgoingLogEvent } from "./log-batch-json.ts";

/** The instance's side of one attempt: everything that running it asks of the instance, in the attempt's name. */
export class JobClient {
  readonly #client: InstanceClient;
  readonly #job: DequeuedJob;

  constructor(client: InstanceClient, job: DequeuedJob) {
    this.#client = client;
    this.#job = job;
  }

  /** The instance's address, ending with `/`. */
  get url(): URL {
    return this.#client.url;
  }

  /** Where git finds a repository, and the headers that open it. */
  gitSource(repository: string): { readonly url: URL; readonly headers: Readonly<Record<string, string>> } {
    return { url: this.#client.gitUrl(repository), headers: this.#client.gitCredentials(this.#job) };
  }

  /** A file of the job that the instance keeps. */
  async readFile(bucket: string, key: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
    return await this.#client.readFile(this.#job, bucket, key, signal);
  }

  /** @throws {InstanceError} status 409 with a `LogConflict` when the batch does not continue the log. */
  async appendLogs(events: readonly OutgoingLogEvent[], signal: AbortSignal): Promise<void> {
    await this.#client.appendLogs(this.#job, events, signal);
  }

  async addLogEntry(entry: LogEntryFields, signal: AbortSignal): Promise<number> {
    return await this.#client.addLogEntry(this.#job, entry, signal);
  }

  async updateLogEntry(entryId: number, entry: LogEntryFields, signal: AbortSignal): Promise<void> {
    await this.#client.updateLogEntry(this.#job, entryId, entry, signal);
  }

  /** @throws {InstanceError} status 409 when the attempt has lapsed, 413 when it is too large. */
  async uploadArtifact(
    artifact: { readonly name: string; readonly kind: ArtifactKind },
    bytes: Readable,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#client.uploadArtifact(this.#job, artifact, bytes, signal);
  }
}
