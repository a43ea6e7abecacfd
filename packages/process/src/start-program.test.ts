import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, expect, it } from "vitest";
import { startProgram } from "./start-program.ts";
import { systemEnvironment } from "./system-environment.ts";

const env = systemEnvironment;

describe("a program that is started", () => {
  it("can be written to and read from by its caller", async () => {
    const program = await startProgram(["cat"], { env });
    program.stdin.end("words");
    program.stderr.resume();
    expect(await text(program.stdout)).toBe("words");
    expect(await program.ended).toEqual({ exitCode: 0, signal: null });
  });

  it("but is not installed causes an error at once", async () => {
    await expect(startProgram(["airlock-no-such-program"], { env })).rejects.toMatchObject({ fault: "not-found" });
  });

  it("is stopped with its child processes, by force if necessary, and stopping it again is harmless", async () => {
    const program = await startProgram(["sh", "-c", "trap '' TERM; sleep 300 & echo ready; wait; wait"], { env });
    program.stderr.resume();
    await once(program.stdout, "data");
    program.stop();
    program.stop();
    expect(await program.ended).toEqual({ exitCode: null, signal: "SIGKILL" });
    program.stop();
  });
});
