import { AirlockError } from "@airlock/job";

/** A file's content as a payload brings it: base64 in version 2, plain text in version 1. */
export function inlineContent(text: string, payloadVersion: number | undefined): Buffer {
  if (payloadVersion !== 2) return Buffer.from(text);
  if (!/^[A-Za-z0-9+/\s]*={0,2}\s*$/.test(text)) {
    throw new AirlockError("a file of the job is not base64", { code: "payload-invalid", reason: "internal" });
  }
  return Buffer.from(text, "base64");
}
