import { describe, expect, it } from "vitest";
import { parseCommandLine } from "./command-line.ts";

describe("the executor's command line", () => {
  for (const [args, command] of [
    [[], { kind: "run", verify: false }],
    [["--verify"], { kind: "run", verify: true }],
    [["run", "-verify"], { kind: "run", verify: true }],
    [["validate"], { kind: "validate" }],
    [["install"], { kind: "install", target: null }],
    [["install", "src-cli", "--bin-dir", "/opt/bin"], { kind: "install", target: "src-cli" }],
    [["install", "--bin-dir=/opt/bin", "all"], { kind: "install", target: "all" }],
    [["install", "iptables-rules", "--recreate-chain"], { kind: "install", target: "iptables-rules" }],
    [["install", "image", "kernel"], { kind: "install", target: "image" }],
    [["image", "load", "a.tar"], { kind: "load-images", file: "a.tar" }],
    [["version"], { kind: "version" }],
    [["run", "--help"], { kind: "help", topic: "run" }],
    [["help", "variables"], { kind: "help", topic: "variables" }],
  ] as const) {
    it(`reads ${["executor", ...args].join(" ")}`, () => {
      expect(parseCommandLine(args)).toEqual(command);
    });
  }

  for (const [args, message] of [
    [["valdate"], 'unknown command "valdate"; did you mean validate?'],
    [["run", "--verfy"], 'unknown flag "--verfy"; did you mean --verify?'],
    [["--verfy"], 'unknown flag "--verfy"; did you mean --verify?'],
    [["validate", "now"], 'unknown argument "now"'],
    [["install", "--bindir", "/x"], 'unknown flag "--bindir"; did you mean --bin-dir?'],
    [["image", "laod", "x"], 'unknown argument "laod"; did you mean load?'],
    [["image", "load"], "image load takes one file"],
    [["test-vm"], "executor validate"],
  ] as const) {
    it(`refuses ${["executor", ...args].join(" ")} and says what was meant`, () => {
      expect(parseCommandLine(args)).toMatchObject({ kind: "problem", message: expect.stringContaining(message) });
    });
  }
});
