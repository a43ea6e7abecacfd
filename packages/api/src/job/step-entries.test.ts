import { describe, expect, it } from "vitest";
import { stepIndexes } from "./step-entries.ts";

describe("stepIndexes", () => {
  it.each<[string, string[], string[], (number | undefined)[]]>([
    ["keys of steps", ["test", "pack"], ["setup.git.init", "step.docker.test", "step.docker.pack"], [undefined, 0, 1]],
    ["positions of 2022", ["test", "pack"], ["setup.fs", "step.docker.0", "step.docker.1"], [undefined, 0, 1]],
    ["positions after the first of them", ["test", "pack"], ["step.docker.0"], [0]],
    ["keys that are positions", ["0", "1"], ["step.docker.0", "step.docker.1"], [0, 1]],
    ["numeric keys in another order", ["1", "0"], ["step.docker.1", "step.docker.0"], [0, 1]],
    ["positions of steps with numeric keys", ["1", "0"], ["step.docker.0", "step.docker.1"], [0, 1]],
    [
      "steps of batch changes",
      ["step.0.pre", "step.0.run"],
      ["step.docker.step.0.pre", "step.docker.step.0.run"],
      [0, 1],
    ],
    ["positions of these", ["step.0.pre", "step.0.run", "step.0.post"], ["step.docker.0", "step.docker.1"], [0, 1]],
    [
      "Kubernetes",
      ["step.0.pre"],
      ["setup.workspace", "step.kubernetes.step.0.pre", "main"],
      [undefined, 0, undefined],
    ],
    ["steps that were skipped", ["a", "b", "c"], ["step.docker.a", "step.docker.c"], [0, 2]],
    [
      "an entry of no known step",
      ["a"],
      ["step.docker.a", "step.docker.other", "step.src.0"],
      [0, undefined, undefined],
    ],
    ["more positions than steps", ["a"], ["step.docker.0", "step.docker.1"], [undefined, undefined]],
    ["no entry", ["a"], [], []],
  ])("understands %s", (_title, stepKeys, entryKeys, expected) => {
    expect(stepIndexes(stepKeys, entryKeys)).toEqual(expected);
  });
});
