import { join } from "node:path";
import { listTestVms, testVmsDir } from "../../janitor/test-vm-place.ts";
import { testVmError } from "./test-vm-error.ts";

/**
 * Returns the directory of a machine.
 * @throws {AirlockError} code `test-vm` when no process holds a machine of this name.
 */
export async function requireTestVm(dataDir: string, name: string): Promise<string> {
  const names = await listTestVms(dataDir);
  if (names.includes(name)) return join(testVmsDir(dataDir), name);
  const known = names.length === 0 ? "No test machine is running." : `Running ones: ${names.join(", ")}`;
  throw testVmError(`there is no test machine "${name.slice(0, 100)}"`, known);
}
