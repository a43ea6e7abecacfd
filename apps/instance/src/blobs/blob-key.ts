import { AirlockError } from "@airlock/job";

const maxLength = 512;
const segment = /^(?!\.{1,2}$)[a-z0-9._-]{1,128}$/;

/** @throws {AirlockError} `blob-key-invalid`. */
export function checkBlobKey(key: string): void {
  if (!isPath(key)) throw invalid("key", key);
}

/** @throws {AirlockError} `blob-key-invalid`: a prefix is a path of whole segments with `/` at its end. */
export function checkBlobPrefix(prefix: string): void {
  if (!prefix.endsWith("/") || !isPath(prefix.slice(0, -1))) throw invalid("prefix", prefix);
}

function isPath(text: string): boolean {
  return text.length <= maxLength && text.split("/").every((part) => segment.test(part));
}

function invalid(what: string, text: string): AirlockError {
  return new AirlockError(`not a ${what} of the blob store: ${JSON.stringify(text.slice(0, 100))}`, {
    code: "blob-key-invalid",
  });
}
