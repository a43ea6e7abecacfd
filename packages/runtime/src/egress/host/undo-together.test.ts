import { expect, it } from "vitest";
import { UndoTogether } from "./undo-together.ts";

it("repeats only what failed, and runs the last actions once everything has succeeded", async () => {
  const done: string[] = [];
  let isBusy = true;
  const undo = new UndoTogether();
  undo.add(async () => void done.push("link"));
  undo.add(async () => {
    if (isBusy) throw new Error("the namespace is busy");
    done.push("namespace");
  });
  undo.finally(() => void done.push("addresses"));

  await expect(undo.run()).rejects.toThrow("the namespace is busy");
  await expect(undo.run()).rejects.toThrow("the namespace is busy");
  expect(done).toEqual(["link"]);
  isBusy = false;
  await Promise.all([undo.run(), undo.run()]);
  await undo.run();
  expect(done).toEqual(["link", "namespace", "addresses"]);
});
