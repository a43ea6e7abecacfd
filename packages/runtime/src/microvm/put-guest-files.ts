import { AirlockError } from "@airlock/job";
import type { WorkspaceFile } from "../contract/index.ts";
import type { GuestAgent } from "./guest/guest-agent.ts";
import { GuestCallError } from "./guest/guest-call-error.ts";
import { maxPathBytes } from "./guest/payload-writer.ts";

/** A path of the contract as the agent takes it; empty: the workspace. `null`: it leads out of the workspace. */
export function workspacePath(path: string): Buffer | null {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  const bytes = Buffer.from(parts.join("/"));
  const isInside = !path.startsWith("/") && !parts.includes("..") && !path.includes("\0");
  return isInside && bytes.length <= maxPathBytes ? bytes : null;
}

/**
 * Writes files into the workspace of a guest, as `Sandbox.putFiles` does.
 * @throws {AirlockError} reason `checkout-invalid`.
 */
export async function putGuestFiles(
  agent: GuestAgent,
  files: readonly WorkspaceFile[],
  signal: AbortSignal,
): Promise<void> {
  for (const { path, content, modifiedAt } of files) {
    signal.throwIfAborted();
    const place = workspacePath(path);
    if (place === null || place.length === 0) throw refused(path, "it is not a path inside the workspace");
    try {
      await agent.putFile({ place: "workspace", path: place, mode: 0o777, modifiedAt, content }, signal);
    } catch (error) {
      throw error instanceof GuestCallError ? explanation(path, error) : error;
    }
  }
}

function explanation(path: string, error: GuestCallError): Error {
  if (error.code === "no-space") {
    return new AirlockError("the job's files do not fit into the workspace", {
      code: "checkout-invalid",
      reason: "checkout-invalid",
      hint: "The workspace is full: ask for more with resources.disk.",
      cause: error,
    });
  }
  const taken = ["not-found", "not-a-file", "invalid", "denied", "system"].includes(error.code);
  return taken ? refused(path, `something else is at that path, or a name is too long (${error.message})`) : error;
}

function refused(path: string, problem: string): AirlockError {
  return new AirlockError(`the job's file "${path}" cannot be written: ${problem}`, {
    code: "checkout-invalid",
    reason: "checkout-invalid",
  });
}
