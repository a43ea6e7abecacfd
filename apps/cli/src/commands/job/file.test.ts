import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { parseJobFile } from "../../job-file/job-file.ts";
import { type RealInstance, startRealInstance } from "../../testing/real-instance.ts";

describeWithEngines(["postgres"], "`airlock job file`", () => {
  let instance: RealInstance;
  beforeAll(async () => {
    instance = await startRealInstance();
  });
  afterAll(async () => instance?.[Symbol.asyncDispose]());

  const submit = async (spec: object) => {
    const args = ["job", "submit", "-f", "-", "--json"];
    const { code, stdout, stderr } = await instance.airlock(args, { stdin: JSON.stringify(spec) });
    expect(code, stderr).toBe(0);
    return (JSON.parse(stdout) as { id: number }).id;
  };

  it("prints a job file that makes the same job, without values of variables", async () => {
    const spec = {
      namespace: "team",
      steps: [
        { key: "one", image: "alpine:3.20", run: "echo a\necho \u001b[31mb\n", dir: "sub" },
        { image: "node:24", run: "true", secrets: [] },
      ],
      checkout: { depth: "full", tags: true },
      resources: { cpus: 0.5, memory: "512Mi" },
      egress: { allow: ["packages.example.com:443"] },
      timeout: "90s",
      outputs: ["a/**"],
      diff: true,
      labels: { gpu: "a100" },
      priority: -3,
    };
    const id = await submit({ ...spec, steps: [{ ...spec.steps[0], env: { HIDDEN: "a value" } }, spec.steps[1]] });
    const { code, stdout } = await instance.airlock(["job", "file", String(id)]);
    expect(code).toBe(0);
    expect(stdout).toMatch(new RegExp(`^# Job ${id}, without the values of env`));
    expect(stdout).not.toContain("a value");
    expect(stdout).not.toContain("\u001b");
    const { secrets: _, ...second } = spec.steps[1] ?? {};
    expect(parseJobFile(stdout, "job.yaml").spec).toEqual({ ...spec, steps: [spec.steps[0], second] });
    const json = JSON.parse((await instance.airlock(["job", "file", String(id), "--json"])).stdout);
    expect(json).toEqual(parseJobFile(stdout, "job.yaml").spec);
    const again = await submit(json);
    const file = await instance.airlock(["job", "file", String(again), "--json"]);
    expect(JSON.parse(file.stdout)).toEqual(json);
  });

  it("names an unknown job", async () => {
    expect(await instance.airlock(["job", "file", "999999"])).toMatchObject({ code: 1, stdout: "" });
  });
});
