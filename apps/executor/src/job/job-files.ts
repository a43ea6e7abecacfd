import { AirlockError } from "@airlock/job";
import type { WorkspaceFile } from "@airlock/runtime";
import type { JobConnection } from "../instance-client/job-connection.ts";
import type { FileInput } from "./read-payload.ts";

/** Returns the job's files. Contents that the instance keeps are streamed while they are written. */
export async function jobFiles(
  files: readonly FileInput[],
  instance: JobConnection,
  signal: AbortSignal,
): Promise<WorkspaceFile[]> {
  return await Promise.all(
    files.map(async ({ path, modifiedAt, content }) => ({
      path,
      modifiedAt,
      content:
        content.kind === "stored"
          ? await instance.readFile(content.bucket, content.key, signal)
          : decode(content.text, content.encoding, path),
    })),
  );
}

function decode(text: string, encoding: "base64" | "utf8", path: string): Buffer {
  if (encoding === "base64" && !/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) {
    throw new AirlockError(`the job's file "${path}" is not base64`, {
      code: "payload-invalid",
      reason: "internal",
    });
  }
  return Buffer.from(text, encoding);
}
