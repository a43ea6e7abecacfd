import { describe, expect, it } from "vitest";
import { stepIndexes } from "./step-entries.ts";

describe("stepIndexes", () => {
  it.each<[string, string[], string[], (number | undefined)[]]>([
    [
      "entries named by step keys",
      ["test", "pack"],
      ["setup.git.init", "step.docker.test", "step.docker.pack"],
      [undefined, 0, 1],
    ],
    [
      "entries of 2022 executors, which are named by position",
      ["test", "pack"],
      ["setup.fs", "step.docker.0", "step.docker.1"],
      [undefined, 0, 1],
    ],
    ["entries named by position without setup entries", ["test", "pack"], ["step.docker.0"], [0]],
    ["step keys that look like positions", ["0", "1"], ["step.docker.0", "step.docker.1"], [0, 1]],
    ["numeric step keys in another order", ["1", "0"], ["step.docker.1", "step.docker.0"], [0, 1]],
    ["entries named by position, of steps with numeric keys", ["1", "0"], ["step.docker.0", "step.docker.1"], [0, 1]],
    [
      "steps of batch changes",
      ["step.0.pre", "step.0.run"],
      ["step.docker.step.0.pre", "step.docker.step.0.run"],
      [0, 1],
    ],
    [
      "entries of batch changes that are named by position",
      ["step.0.pre", "step.0.run", "step.0.post"],
      ["step.docker.0", "step.docker.1"],
      [0, 1],
    ],
    [
      "Kubernetes",
      ["step.0.pre"],
      ["setup.workspace", "step.kubernetes.step.0.pre", "main"],
      [undefined, 0, undefined],
    ],
    ["steps that were skipped", ["a", "b", "c"], ["step.docker.a", "step.docker.c"], [0, 2]],
    [
      "an entry of an unknown step",
      ["a"],
      ["step.docker.a", "step.docker.other", "step.src.0"],
      [0, undefined, undefined],
    ],
    ["more entries than steps", ["a"], ["step.docker.0", "step.docker.1"], [undefined, undefined]],
    ["no entry", ["a"], [], []],
  ])("understands %s", (_title, stepKeys, entryKeys, expected) => {
    expect(stepIndexes(stepKeys, entryKeys)).toEqual(expected);
  });
});
