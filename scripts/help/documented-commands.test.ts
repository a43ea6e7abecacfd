import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { JobSpec } from "@airlock/api";
import { describeWithEngines, type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import { marked, type Tokens } from "marked";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";
import { root } from "../programs/run.ts";
import { readCommands } from "./read-commands.ts";
import { readDocuments } from "./read-documents.ts";

const documents = readDocuments(root);
const pagesWithCommands = documents
  .map((document) => ({ ...document, blocks: readCommands(document).filter(({ notRun }) => notRun === null) }))
  .filter(({ blocks }) => blocks.length > 0);

describeWithEngines(["oci"], "the commands in the documentation", () => {
  let directory: TemporaryDirectory;
  let dev: ChildProcess;
  let connection: { readonly url: string; readonly token: string };
  let environment: NodeJS.ProcessEnv;

  beforeAll(async () => {
    directory = await temporaryDirectory();
    const bin = path.join(directory.path, "bin");
    const home = path.join(directory.path, "home");
    await mkdir(bin);
    await mkdir(path.join(home, ".ssh"), { recursive: true });
    await writeFile(path.join(home, ".ssh", "deploy"), "the key of a test\n");
    await writeFile(path.join(bin, "airlock"), `#!/bin/sh\nexec ${path.join(root, "airlock")} "$@"\n`);
    await chmod(path.join(bin, "airlock"), 0o755);
    environment = {
      PATH: `${bin}:${process.env.PATH}`,
      HOME: home,
      // The value of a secret.
      TOKEN: "the-token-of-a-test",
    };
    dev = spawn(path.join(bin, "airlock"), ["dev", "--listen", "127.0.0.1:0"], {
      cwd: directory.path,
      // The jobs need no network.
      env: { ...environment, EXECUTOR_RUNTIME: "oci", EXECUTOR_DEFAULT_EGRESS: "none" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    await printed(dev, "Ctrl-C stops");
    connection = JSON.parse(await readFile(path.join(directory.path, ".airlock", "connection.json"), "utf8"));
  });

  afterAll(async () => {
    if (dev?.exitCode === null) {
      const ended = new Promise((resolve) => dev.once("exit", resolve));
      dev.kill("SIGINT");
      await ended;
    }
    await directory?.[Symbol.asyncDispose]();
  });

  it.each(pagesWithCommands)("run as they are written in $file", async ({ file, tokens, blocks }) => {
    await writeNamedFiles(tokens);
    for (const { script } of blocks) {
      const { code, output } = await runScript(script);
      expect(`${file}\n${script}\n${output}\nexit code ${code}`).toMatch(/exit code 0$/);
    }
  });

  /** Writes blocks whose language is followed by a file's name, such as `yaml job.yaml`. */
  async function writeNamedFiles(tokens: (typeof documents)[number]["tokens"]): Promise<void> {
    for (const token of tokens) {
      if (token.type !== "code") continue;
      const name = (token as Tokens.Code).lang?.split(" ")[1];
      if (name) await writeFile(path.join(directory.path, name), (token as Tokens.Code).text);
    }
  }

  function runScript(script: string): Promise<{ readonly code: number | null; readonly output: string }> {
    const child = spawn("bash", ["-euo", "pipefail", "-c", script], {
      cwd: directory.path,
      env: { ...environment, AIRLOCK_URL: connection.url, AIRLOCK_TOKEN: connection.token },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let output = "";
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (bytes) => (output += bytes));
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (code) => resolve({ code, output }));
    });
  }
});

describe("the job files in the documentation", () => {
  // Batch specs have steps, too.
  const blocks = documents
    .filter(({ file }) => file !== "docs/batch-spec.md")
    .flatMap(({ file, tokens }) => {
      const found: { readonly file: string; readonly text: string }[] = [];
      marked.walkTokens([...tokens], (token) => {
        const { lang, text } = token as Tokens.Code;
        if (token.type === "code" && lang?.startsWith("yaml") && /^steps:/m.test(text)) found.push({ file, text });
      });
      return found;
    });

  it("are found", () => expect(blocks.length).toBeGreaterThan(3));

  it.each(blocks)("match the schema: $file", ({ text }) => {
    expect(JobSpec.safeParse(parse(text)).error?.issues ?? []).toEqual([]);
  });
});

/** Waits until a program prints a text, and fails if it ends before. */
function printed(child: ChildProcess, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let output = "";
    for (const stream of [child.stdout, child.stderr]) {
      stream?.on("data", (bytes) => {
        output += bytes;
        if (output.includes(text)) resolve();
      });
    }
    child.on("error", reject);
    child.on("exit", (code) => reject(new Error(`it ended with ${code}: ${output}`)));
  });
}
