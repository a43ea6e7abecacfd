import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";

/** Stands for npm: notes each installation, fails if another one runs, and takes a while. */
const npmStandIn = (node: string) => `
import { appendFileSync, mkdirSync, rmdirSync, symlinkSync } from "node:fs";
mkdirSync("running");
appendFileSync("installations", "one\\n");
await new Promise((resolve) => setTimeout(resolve, 300));
mkdirSync("node_modules/node/bin", { recursive: true });
symlinkSync(${JSON.stringify(node)}, "node_modules/node/bin/node");
rmdirSync("running");
`;

describe("the command that installs dependencies first", () => {
  async function project(): Promise<{ readonly path: string } & AsyncDisposable> {
    const directory = await temporaryDirectory();
    const { path } = directory;
    await mkdir(join(path, "scripts"));
    await copyFile(join(import.meta.dirname, "with-node.mjs"), join(path, "scripts/with-node.mjs"));
    await writeFile(join(path, "package-lock.json"), "{}");
    await writeFile(join(path, "npm.mjs"), npmStandIn(process.execPath));
    await writeFile(join(path, "hello.mjs"), 'console.log("hello");');
    return directory;
  }
  async function start(path: string): Promise<string> {
    const env = { ...process.env, npm_execpath: join(path, "npm.mjs") };
    const child = spawn(process.execPath, [join(path, "scripts/with-node.mjs"), "hello.mjs"], { env });
    let printed = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", (bytes) => {
        printed += bytes;
      });
    }
    const [code] = await once(child, "close");
    return `${printed}exit ${code}\n`;
  }

  it("installs once if it is started several times at the same moment", async () => {
    await using directory = await project();
    const printed = await Promise.all([1, 2, 3].map(() => start(directory.path)));
    for (const text of printed) expect(text).toMatch(/hello\nexit 0\n$/);
    expect(await readFile(join(directory.path, "installations"), "utf8")).toBe("one\n");
  });

  it("goes on after an installation that was killed", async () => {
    await using directory = await project();
    await mkdir(join(directory.path, ".airlock"));
    // A number that no process can have.
    await writeFile(join(directory.path, ".airlock/installing"), "4194305");
    expect(await start(directory.path)).toMatch(/hello\nexit 0\n$/);
  });
});
