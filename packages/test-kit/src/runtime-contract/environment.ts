import { describe, expect, it } from "vitest";
import type { Workplace, WorkplaceOptions } from "./workplace.ts";

/** The longest `NAME=VALUE` that a kernel with 4 KiB pages accepts, without the final NUL. */
const longest = 131_071;

/** Tests the contract about a step's environment. Part of `describeRuntime`. */
export function describeEnvironment(open: (options?: Partial<WorkplaceOptions>) => Promise<Workplace>): void {
  describe("a step's environment", () => {
    it("can have variables as long as the kernel allows", async () => {
      await using place = await open();
      const env = { BIG: "x".repeat(longest - "BIG=".length), WIDE: "é".repeat(60_000) };

      const { status, stdout } = await place.run('printf %s "$BIG" | wc -c; printf %s "$WIDE" | wc -c', { env });

      expect(status).toEqual({ kind: "exited", exitCode: 0 });
      expect(stdout.match(/\d+/g)).toEqual([String(env.BIG.length), "120000"]);
    });

    it("can be one mebibyte in total", async () => {
      await using place = await open();
      const env = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`BIG_${index}`, "x".repeat(131_000)]));

      expect((await place.run("env | grep -c ^BIG_", { env })).stdout).toBe("8\n");
    });

    it.each<[string, Record<string, string>, RegExp]>([
      [
        "a variable that is one byte longer",
        { BIG: "x".repeat(longest - "BIG=".length + 1) },
        /BIG .*131072 bytes.*131071/,
      ],
      ["a variable whose characters take more bytes", { WIDE: "é".repeat(100_000) }, /WIDE .*200005 bytes.*131071/],
      [
        "more variables than fit in total",
        Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`BIG_${index}`, "x".repeat(120_000)])),
        /20 variables .*2\.3 MiB.*1 MiB/,
      ],
    ])("is refused with %s, with Airlock's own message and nothing in the log", async (_, env, message) => {
      await using place = await open();
      const printed: Buffer[] = [];

      const run = place.start("echo ran", { env, output: (_stream, bytes) => void printed.push(bytes) });

      await expect(run).rejects.toMatchObject({ reason: "policy", message: expect.stringMatching(message) });
      expect(Buffer.concat(printed).toString()).toBe("");
      expect((await place.run("echo goes on")).stdout).toBe("goes on\n");
    });
  });
}
