import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { startProgram } from "./start-program.ts";
import { systemEnvironment } from "./system-environment.ts";

const env = systemEnvironment;

describe("a program that is started", () => {
  it("is written to and read from by its caller", async () => {
    const program = await startProgram(["cat"], { env });
    program.stdin.end("words");
    program.stderr.resume();
    expect(await text(program.stdout)).toBe("words");
    expect(await program.ended).toEqual({ exitCode: 0, signal: null });
  });

  it("that is not installed is told at once", async () => {
    await expect(startProgram(["airlock-no-such-program"], { env })).rejects.toMatchObject({ fault: "not-found" });
  });

  it("is ended with what it started, by force if it has to be, and more than once does no harm", async () => {
    const program = await startProgram(["sh", "-c", "trap '' TERM; sleep 300 & echo ready; wait; wait"], { env });
    program.stderr.resume();
    await once(program.stdout, "data");
    program.stop();
    program.stop();
    expect(await program.ended).toEqual({ exitCode: null, signal: "SIGKILL" });
    program.stop();
  });
});
