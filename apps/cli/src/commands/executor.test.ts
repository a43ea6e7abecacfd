import { execFile } from "node:child_process";
import path from "node:path";
import { describe, expect, it } from "vitest";

const main = path.resolve(import.meta.dirname, "../main.ts");

/** Runs the command line in its own process, because it replaces itself with the executor. */
function airlock(...args: readonly string[]): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [main, ...args], { env: { PATH: process.env.PATH } }, (error, stdout, stderr) => {
      resolve({ exitCode: typeof error?.code === "number" ? error.code : 0, output: stdout + stderr });
    });
  });
}

describe("airlock executor", () => {
  it("passes help, flags and mistakes on to the executor and returns its exit code", async () => {
    const [help, topic, mistake] = await Promise.all([
      airlock("executor", "--help"),
      airlock("executor", "install", "--help"),
      airlock("executor", "run", "--verfy"),
    ]);

    expect(help).toMatchObject({ exitCode: 0, output: expect.stringContaining("Usage: executor") });
    expect(topic).toMatchObject({ exitCode: 0, output: expect.stringContaining("Usage: executor install") });
    expect(mistake).toMatchObject({ exitCode: 2, output: expect.stringContaining("Did you mean --verify?") });
  });
});
