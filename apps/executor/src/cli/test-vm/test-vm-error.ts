import { AirlockError } from "@airlock/job";

export function testVmError(what: string, hint: string, cause?: unknown): AirlockError {
  return new AirlockError(what, { code: "test-vm", hint, cause });
}
