import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { DataDirectory } from "./data-directory.ts";

/** Takes the directory in a child process, prints whether it succeeded, and holds it until killed. */
function takeElsewhere(directory: string) {
  const module = fileURLToPath(new URL("./data-directory.ts", import.meta.url));
  const script = `
    import { DataDirectory } from ${JSON.stringify(module)};
    try { await DataDirectory.open(${JSON.stringify(directory)}); console.log("taken"); setInterval(() => {}, 1000); }
    catch (error) { console.log(error.code); }`;
  return spawn(process.execPath, ["--input-type=module", "-e", script], { stdio: ["ignore", "pipe", "inherit"] });
}

describe("DataDirectory", () => {
  it("belongs to one process at a time, and to the next process after the first was killed", async () => {
    await using directory = await temporaryDirectory();
    const first = takeElsewhere(directory.path);
    expect(String((await once(first.stdout, "data"))[0])).toBe("taken\n");
    await expect(DataDirectory.open(directory.path)).rejects.toMatchObject({
      code: "data-directory-in-use",
      message: expect.stringContaining(`process ${first.pid}`),
    });
    first.kill("SIGKILL");
    await once(first, "exit");
    await using data = await DataDirectory.open(directory.path);
    expect(data.path).toBe(directory.path);
  });

  it("goes to exactly one of many processes that start at once beside a stale lock", async () => {
    await using directory = await temporaryDirectory();
    const lock = path.join(directory.path, "lock");
    await writeFile(lock, JSON.stringify({ pid: process.pid, startTime: "1", bootId: "of another boot" }));
    const children = Array.from({ length: 5 }, () => takeElsewhere(directory.path));
    const answers = await Promise.all(children.map(async (child) => String((await once(child.stdout, "data"))[0])));
    for (const child of children) child.kill("SIGKILL");
    expect(answers.sort()).toEqual([...Array(4).fill("data-directory-in-use\n"), "taken\n"]);
  });

  it("takes over a truncated lock file and leaves no temporary file behind", async () => {
    await using directory = await temporaryDirectory();
    await writeFile(path.join(directory.path, "lock"), '{"pid":');
    {
      await using data = await DataDirectory.open(directory.path);
      const token = await data.readOrCreateToken("token");
      expect(await data.readOrCreateToken("token")).toBe(token);
      expect(await readFile(data.resolve("token"), "utf8")).toBe(`${token}\n`);
    }
    expect(await readdir(directory.path)).toEqual(["token"]);
  });
});
