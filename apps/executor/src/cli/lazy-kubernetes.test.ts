import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, it } from "vitest";

const hook = `import { registerHooks } from "node:module";
registerHooks({
  resolve(specifier, context, next) {
    if (specifier.startsWith("@kubernetes/")) throw new Error("loaded " + specifier);
    return next(specifier, context);
  },
});`;

function run(...args: readonly string[]) {
  const hooked = ["--import", `data:text/javascript,${encodeURIComponent(hook)}`, ...args];
  return promisify(execFile)(process.execPath, hooked, { cwd: import.meta.dirname });
}

it("the executor loads the Kubernetes client only with the kubernetes runtime", async () => {
  const load = ["--input-type=module", "--eval", 'await import("@airlock/runtime/kubernetes")'];
  await expect(run(...load)).rejects.toThrow("loaded @kubernetes/client-node");

  await expect(run(join(import.meta.dirname, "../main.ts"), "--version")).resolves.toMatchObject({ stderr: "" });
});
