import { createHash } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import type { ArtifactView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { UsageError } from "../context/command-error.ts";
import { describeFileError } from "../context/describe-file-error.ts";
import type { InstanceClient } from "./instance-client.ts";

/**
 * Saves an artifact as it is, never unpacked. The file appears only once it is complete and its digest matches.
 * Replaces an existing file. A symbolic link is itself replaced, not its target.
 * @throws {AirlockError} `damaged-download`.
 * @throws {UsageError} if the file cannot be written.
 */
export async function downloadArtifact(
  client: InstanceClient,
  job: number,
  { id, bytes, sha256 }: ArtifactView,
  path: string,
): Promise<void> {
  const response = await client.request(`jobs/${job}/artifacts/${id}`, {
    headers: { accept: "application/octet-stream" },
  });
  const partial = `${path}.${process.pid}.part`;
  // Create exclusively, so that we never write through a link that another user created.
  const file = await open(partial, "wx").catch((cause: unknown) => {
    throw unwritable(path, cause);
  });
  try {
    const hash = createHash("sha256");
    let received = 0;
    for await (const chunk of response.body ?? []) {
      received += chunk.length;
      hash.update(chunk);
      await file.writeFile(chunk);
    }
    await file.close();
    if (received !== bytes || hash.digest("hex") !== sha256) {
      throw new AirlockError("the download is damaged: its checksum differs from the instance's", {
        code: "damaged-download",
        hint: "Try again.",
      });
    }
    await rename(partial, path).catch((cause: unknown) => {
      throw unwritable(path, cause);
    });
  } catch (error) {
    await file.close();
    await rm(partial, { force: true });
    throw error;
  }
}

function unwritable(path: string, cause: unknown): UsageError {
  return new UsageError(
    `cannot write ${path}: ${describeFileError(cause)}`,
    "Choose a file or an existing directory with --output.",
    { cause },
  );
}
