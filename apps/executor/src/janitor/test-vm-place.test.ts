import { mkdir, readdir, utimes } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { requireTestVm } from "../cli/test-vm/require-test-vm.ts";
import { HostProcessRuntime } from "../testing/host-process-runtime.ts";
import { collectTestVms, listTestVms, makePlace, testVmsDir } from "./test-vm-place.ts";

const { signal } = new AbortController();

describe("the places of test machines", () => {
  let stack: AsyncDisposableStack;
  let dataDir: string;
  let collected: string[];
  let runtime: HostProcessRuntime;

  beforeEach(async () => {
    stack = new AsyncDisposableStack();
    dataDir = stack.use(await temporaryDirectory()).path;
    collected = [];
    runtime = new (class extends HostProcessRuntime {
      override async collect({ owner }: { readonly owner: string }) {
        collected.push(owner);
        return { sandboxes: 0, details: [] };
      }
    })({ dir: join(dataDir, "workspaces") });
  });

  afterEach(() => stack.disposeAsync());

  const makeOld = (name: string) => utimes(join(testVmsDir(dataDir), name), 0, 0);

  it("are known by name while a process holds them, and are gone afterwards", async () => {
    const place = await makePlace(dataDir, "build-a");
    expect(place.name).toMatch(/^build-a-test-vm-[0-9a-f]{8}$/);
    expect(await listTestVms(dataDir)).toEqual([place.name]);
    expect(await requireTestVm(dataDir, place.name)).toBe(place.dir);
    await place[Symbol.asyncDispose]();
    expect(await listTestVms(dataDir)).toEqual([]);
    await expect(requireTestVm(dataDir, place.name)).rejects.toMatchObject({
      code: "test-vm",
      message: `there is no test machine "${place.name}"`,
      hint: "No test machine is running.",
    });
    await expect(requireTestVm(dataDir, "../../etc")).rejects.toThrow("there is no test machine");
  });

  it("are removed when their process was killed, and not while it holds them or starts", async () => {
    await using held = await makePlace(dataDir, "executor");
    await mkdir(join(testVmsDir(dataDir), "executor-test-vm-killed"));
    await mkdir(join(testVmsDir(dataDir), "executor-test-vm-starting"));
    await makeOld(held.name);
    await makeOld("executor-test-vm-killed");

    expect(await collectTestVms(dataDir, runtime, signal)).toEqual(["executor-test-vm-killed"]);

    expect(collected).toEqual(["executor-test-vm-killed"]);
    expect(await readdir(testVmsDir(dataDir))).toEqual([held.name, "executor-test-vm-starting"].sort());
  });

  it("need not exist", async () => {
    expect(await collectTestVms(dataDir, runtime, signal)).toEqual([]);
    expect(await listTestVms(dataDir)).toEqual([]);
  });
});
