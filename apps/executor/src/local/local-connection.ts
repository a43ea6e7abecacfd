import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { pathToFileURL } from "node:url";
import type { ArtifactKind, LocalRunEvent, LocalRunRequest } from "@airlock/api";
import type { JobConnection } from "../instance-client/job-connection.ts";
import type { OutgoingLogEvent } from "../instance-client/log-batch-json.ts";
import type { SendUpload } from "../uploads/upload-proxy.ts";

/** Connects a job with this machine instead of an instance: its log goes to a stream, its artifacts to a directory. */
export class LocalConnection implements JobConnection {
  /** No program is behind this address. Submodules with a relative address are not found. */
  readonly url = new URL("http://local.invalid/");
  readonly #output: Writable;
  readonly #request: Pick<LocalRunRequest, "source" | "artifacts">;

  constructor(output: Writable, request: Pick<LocalRunRequest, "source" | "artifacts">) {
    this.#output = output;
    this.#request = request;
  }

  readonly sendUpload: SendUpload = async () => {
    throw unsupported("uploads of code indexes");
  };

  gitSource() {
    const { source } = this.#request;
    if (source === null) throw unsupported("a repository");
    return { url: pathToFileURL(source.root), headers: {} };
  }

  async readFile(): Promise<AsyncIterable<Buffer>> {
    throw unsupported("files that an instance keeps");
  }

  async appendLogs(events: readonly OutgoingLogEvent[]): Promise<void> {
    for (const event of events) {
      if (event.kind !== "chunk") await this.write(event);
      else {
        const { bytes, ...rest } = event;
        await this.write({ ...rest, data: bytes.toString("base64") });
      }
    }
  }

  async addLogEntry(): Promise<number> {
    throw unsupported("logs as whole entries");
  }

  async updateLogEntry(): Promise<void> {
    throw unsupported("logs as whole entries");
  }

  async reportUsage(): Promise<void> {
    throw unsupported("reports of what steps use");
  }

  async uploadArtifact(
    { name }: { readonly name: string; readonly kind: ArtifactKind },
    bytes: Readable,
    signal: AbortSignal,
  ): Promise<void> {
    const { artifacts } = this.#request;
    if (artifacts === null) throw unsupported("artifacts");
    // Renamed at the end, so that a failure keeps the file of an earlier run.
    const partial = join(artifacts, `.${name}.${randomUUID()}`);
    try {
      const file = createWriteStream(partial, { flags: "wx" });
      await pipeline(bytes, file, { signal });
      await rename(partial, join(artifacts, name));
      await this.write({ kind: "artifact", name, bytes: file.bytesWritten });
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
  }

  async write(event: LocalRunEvent): Promise<void> {
    if (!this.#output.write(`${JSON.stringify(event)}\n`)) await once(this.#output, "drain");
  }
}

function unsupported(what: string): Error {
  return new Error(`a job without an instance has no ${what}`);
}
