import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type RealInstance, startRealInstance } from "../../testing/real-instance.ts";

describeWithEngines(["postgres"], "commands for several jobs", () => {
  let target: RealInstance;
  beforeAll(async () => {
    target = await startRealInstance();
    await target.airlock(["queue", "create", "nightly"]);
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  const stateOf = async (id: number) =>
    JSON.parse((await target.airlock(["job", "show", `${id}`, "--json"])).stdout).state;

  it("change several jobs and name the result of each", async () => {
    const ids = [await target.submit(), await target.submit()];
    const canceled = await target.airlock(["job", "cancel", ...ids.map(String)]);
    expect(canceled).toEqual({ code: 0, stdout: ids.map((id) => `job ${id} is canceled\n`).join(""), stderr: "" });
    const retried = await target.airlock(["job", "retry", ...ids.map(String)]);
    expect(retried.stdout).toBe(ids.map((id) => `job ${id} is queued again\n`).join(""));
    expect(await Promise.all(ids.map(stateOf))).toEqual(["queued", "queued"]);
  });

  it("list jobs by a text of their revision", async () => {
    const id = await target.submit();
    const { revision } = JSON.parse((await target.airlock(["job", "show", `${id}`, "--json"])).stdout);
    const found = await target.airlock(["job", "list", "--text", revision.toUpperCase(), "--json"]);
    expect(JSON.parse(found.stdout).jobs.map((job: { id: number }) => job.id)).toContain(id);
    const nothing = await target.airlock(["job", "list", "--text", "%"]);
    expect([nothing.code, nothing.stdout]).toEqual([0, ""]);
  });

  it("change the other jobs when one can't be changed, and exit with 1", async () => {
    const ids = [await target.submit(), await target.submit()];
    await target.airlock(["job", "cancel", `${ids[0]}`]);
    const { code, stdout, stderr } = await target.airlock(["job", "cancel", `${ids[0]}`, "999999", `${ids[1]}`]);
    expect([code, stdout]).toEqual([1, `job ${ids[1]} is canceled\n`]);
    expect(stderr).toMatch(new RegExp(`^error: job ${ids[0]}: .+\nerror: job 999999: .+\n$`));
    const json = await target.airlock(["job", "retry", `${ids[0]}`, "999999", "--json"]);
    expect(json.code).toBe(1);
    expect(JSON.parse(json.stdout)).toMatchObject({
      jobs: [{ id: ids[0], state: "queued" }],
      failed: [{ id: 999_999, code: "not-found" }],
    });
  });

  it.each([
    ["--queue", "nightly"],
    ["--namespace", "team-a"],
    ["--label", "gpu=a100"],
  ])("choose jobs by %s", async (flag, value) => {
    const wanted = [await target.submit(flag, value), await target.submit(flag, value)].toReversed();
    const other = await target.submit();
    const canceled = await target.airlock(["job", "cancel", flag, value]);
    expect(canceled.stdout).toBe(wanted.map((id) => `job ${id} is canceled\n`).join(""));
    expect(await stateOf(other)).toBe("queued");
    // A person has canceled them, so the filters alone do not choose them.
    expect((await target.airlock(["job", "retry", flag, value])).stderr).toBe("no job matches\n");
    const retried = await target.airlock(["job", "retry", flag, value, "--state", "canceled"]);
    expect(retried.stdout).toBe(wanted.map((id) => `job ${id} is queued again\n`).join(""));
    await target.airlock(["job", "cancel", flag, value]);
  });

  it("choose more jobs than one page holds, and only those that all filters match", async () => {
    const flags = ["--namespace", "many", "--label", "zone=eu"];
    const ids: number[] = [];
    for (let count = 0; count < 205; count++) ids.push(await target.submit(...flags));
    const other = await target.submit("--namespace", "many", "--label", "zone=us");
    const { stdout } = await target.airlock(["job", "cancel", ...flags]);
    expect(stdout.match(/is canceled/g)).toHaveLength(ids.length);
    expect(await stateOf(other)).toBe("queued");
  });

  it("ask on a terminal before they change more than one job", async () => {
    const ids = [await target.submit("--namespace", "asked"), await target.submit("--namespace", "asked")];
    const cancel = ["job", "cancel", "--namespace", "asked"];
    for (const stdin of ["n\n", "\n", ""]) {
      const { code, stderr } = await target.airlock(cancel, { isTerminal: true, stdin });
      expect(code).toBe(1);
      expect(stderr).toContain(`Cancel 2 jobs (${ids.toReversed().join(", ")})? [y/N]`);
      expect(stderr).toContain("nothing changed");
    }
    expect(await stateOf(ids[0] ?? 0)).toBe("queued");
    expect((await target.airlock(["job", "cancel", `${ids[0]}`], { isTerminal: true })).code).toBe(0);
    expect((await target.airlock(["job", "retry", ...ids.map(String), "-y"], { isTerminal: true })).code).toBe(1);
    const { code, stdout } = await target.airlock(cancel, { isTerminal: true, stdin: "y\n" });
    expect([code, stdout.match(/is canceled/g)?.length]).toEqual([0, 2]);
  });

  it.each([
    [["cancel"], "no jobs chosen"],
    [["retry"], "no jobs chosen"],
    [["cancel", "7", "--queue", "nightly"], "cannot be used with --queue"],
    [["retry", "7", "8", "--follow"], "requires exactly one ID"],
  ])("refuse %j as wrong usage", async (args, message) => {
    const { code, stderr } = await target.airlock(["job", ...args]);
    expect(stderr).toContain(message);
    expect(code).toBe(args.includes("--follow") ? 125 : 2);
  });

  it("leave lists filtered by namespace, label and time to the instance", async () => {
    const id = await target.submit("--namespace", "listed", "--label", "a=b=c", "--label", "d=");
    const list = async (...flags: readonly string[]) => {
      const { stdout } = await target.airlock(["job", "list", "--namespace", "listed", "--json", ...flags]);
      return JSON.parse(stdout).jobs.map((job: { id: number }) => job.id);
    };
    expect(await list()).toEqual([id]);
    expect(await list("--label", "a=b=c", "--label", "d=", "--since", "1h")).toEqual([id]);
    expect(await list("--since", "2020-01-01")).toEqual([id]);
    expect(await list("--label", "a=b")).toEqual([]);
    expect(await list("--since", "2999-01-01T00:00Z")).toEqual([]);
  });
});
