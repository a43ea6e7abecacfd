import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { caseVariables } from "./template-cases.ts";

/** Renders templates with the program in go-oracle/. `null` stands for an error. */
export async function renderWithGo(go: string, templates: readonly string[]): Promise<readonly (string | null)[]> {
  const program = fileURLToPath(new URL("./go-oracle/main.go", import.meta.url));
  const environment = { ...process.env, CGO_ENABLED: "0", GOTOOLCHAIN: "local", GOFLAGS: "", GO111MODULE: "off" };
  const output = await new Promise<string>((resolve, reject) => {
    const options = { env: environment, maxBuffer: 64 * 1024 * 1024 };
    const child = execFile(go, ["run", program], options, (error, stdout) => (error ? reject(error) : resolve(stdout)));
    child.stdin?.end(JSON.stringify({ variables: caseVariables, templates }));
  });
  return JSON.parse(output) as (string | null)[];
}
