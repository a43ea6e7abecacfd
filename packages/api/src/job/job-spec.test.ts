import { describe, expect, it } from "vitest";
import { describeIssues, JobSpec, scriptLines, WorkspacePath } from "../index.ts";

const minimal = { steps: [{ image: "alpine:3.20", run: "true" }] };

function problems(input: unknown): string[] {
  const result = JobSpec.safeParse(input);
  return result.success ? [] : describeIssues(result.error);
}

describe("JobSpec", () => {
  it("fills in defaults for a short job", () => {
    expect(JobSpec.parse(minimal)).toMatchObject({ queue: "default", revision: "HEAD", priority: 0, labels: {} });
  });

  it("accepts numbers and booleans as environment values", () => {
    const spec = JobSpec.parse({ steps: [{ image: "a", run: "b", env: { N: 3, B: true, S: "x" } }] });
    expect(spec.steps[0]?.env).toEqual({ N: "3", B: "true", S: "x" });
  });

  it("accepts environments that just fit into the kernel's limit", () => {
    const BIG = "x".repeat(131_071 - "BIG=".length);
    expect(problems({ steps: [{ image: "a", run: "b", env: { BIG, WIDE: "é".repeat(60_000) } }] })).toEqual([]);
  });

  it.each<[string, Record<string, string>, RegExp]>([
    [
      "a variable of 131,072 bytes with its name",
      { BIG: "x".repeat(131_072 - "BIG=".length) },
      /^steps\[0\]\.env\.BIG: 131072 bytes long including its name; the kernel allows at most 131071/,
    ],
    ["100,000 characters of two bytes", { WIDE: "é".repeat(100_000) }, /^steps\[0\]\.env\.WIDE: 200005 bytes long/],
    [
      "variables of more than a mebibyte together",
      Object.fromEntries(Array.from({ length: 9 }, (_, index) => [`BIG_${index}`, "x".repeat(120_000)])),
      /^steps\[0\]\.env: 1 MiB in total; the limit per step is 1 MiB|^steps\[0\]\.env: 1\.\d MiB in total/,
    ],
  ])("refuses an environment that the kernel would refuse: %s", (_, env, problem) => {
    expect(problems({ steps: [{ image: "a", run: "b", env }] })[0]).toMatch(problem);
  });

  it.each([
    ["an unknown field", { ...minimal, colour: "red" }, /colour/],
    ["an unknown field of a step", { steps: [{ ...minimal.steps[0], img: "x" }] }, /^steps\[0\]: .*img/],
    ["no steps", { steps: [] }, /^steps: a job must have at least one step/],
    [
      "run and commands together",
      { steps: [{ image: "a", run: "b", commands: ["c"] }] },
      /^steps\[0\]: give exactly one/,
    ],
    ["neither run nor commands", { steps: [{ image: "a" }] }, /^steps\[0\]: give exactly one/],
    [
      "two steps with the same key",
      {
        steps: [
          { key: "1", image: "a", run: "b" },
          { image: "a", run: "b" },
        ],
      },
      /^steps\[1\]\.key: two steps have the name "1"/,
    ],
    [
      "a directory outside the workspace",
      { steps: [{ image: "a", run: "b", dir: "../x" }] },
      /^steps\[0\]\.dir: must be a relative path/,
    ],
    ["an absolute directory", { steps: [{ image: "a", run: "b", dir: "/etc" }] }, /^steps\[0\]\.dir/],
    [
      "an image that looks like an option",
      { steps: [{ image: "--privileged", run: "b" }] },
      /^steps\[0\]\.image: not an image reference/,
    ],
    ["an unknown service", { ...minimal, services: "podman" }, /^services: must be docker, or a list/],
    ["an unknown service in a list", { ...minimal, services: ["docker", "podman"] }, /^services: must be docker/],
    ["a revision that looks like an option", { ...minimal, revision: "--upload-pack=x" }, /^revision: not a revision/],
    [
      "a memory size with an unknown unit",
      { ...minimal, resources: { memory: "12Q" } },
      /^resources\.memory: not a size/,
    ],
    [
      "memory below the engines' minimum",
      { ...minimal, resources: { memory: "4Mi" } },
      /^resources\.memory: must be at least 6 MiB/,
    ],
    [
      "fewer CPUs than the kernel can measure",
      { ...minimal, resources: { cpus: 0.001 } },
      /^resources\.cpus: must be at least 0\.01/,
    ],
    [
      "a disk too small for a file system",
      { ...minimal, resources: { disk: "100Ki" } },
      /^resources\.disk: must be at least 4 MiB/,
    ],
    [
      "too few processes to start a step",
      { ...minimal, resources: { pids: 1 } },
      /^resources\.pids: must be at least 8/,
    ],
    ["no shared memory", { ...minimal, resources: { shm: 0 } }, /^resources\.shm: must be at least 4 KiB/],
    [
      "shared memory above the memory",
      { ...minimal, resources: { memory: "1Gi", shm: "2Gi" } },
      /^resources\.shm: must not be larger than resources\.memory/,
    ],
    ["zero CPUs", { ...minimal, resources: { cpus: 0 } }, /^resources\.cpus/],
    ["a timeout of more than a year", { ...minimal, timeout: "366d" }, /^timeout: must be at most 365d/],
    ["a timeout of zero", { ...minimal, timeout: "0s" }, /^timeout: not a duration/],
    ["an unknown egress policy", { ...minimal, egress: "all" }, /^egress: must be "none", "public"/],
    ["an environment name with '='", { steps: [{ image: "a", run: "b", env: { "A=B": "x" } }] }, /^steps\[0\]\.env/],
    ["NUL in a script", { steps: [{ image: "a", run: "a\0b" }] }, /^steps\[0\]\.run: must not contain NUL/],
    ["a queue name in capitals", { ...minimal, queue: "Default" }, /^queue: lower-case/],
  ])("refuses %s and names the field", (_title, input, expected) => {
    expect(problems(input).join("\n")).toMatch(expected);
  });

  it("refuses an allow-list rule with an address in an unusual spelling, and says which rule", () => {
    const input = { ...minimal, egress: { allow: ["example.com:443", "0x7f.1"] } };
    expect(problems(input).join("\n")).toContain("0x7f.1");
  });

  it("treats __proto__ as an ordinary name", () => {
    const input: unknown = JSON.parse(
      '{"steps":[{"image":"a","run":"b","env":{"__proto__":{"x":1}}}],"__proto__":{"queue":"x"}}',
    );
    const result = JobSpec.safeParse(input);
    expect(({} as Record<string, unknown>).queue).toBeUndefined();
    if (result.success) expect(result.data.queue).toBe("default");
  });
});

describe("WorkspacePath", () => {
  it.each(["", ".", "a/b", "a..b", "..."])("accepts %j", (path) => {
    expect(WorkspacePath.safeParse(path).success).toBe(true);
  });
  it.each(["..", "a/../b", "/a", "a\0b"])("refuses %j", (path) => {
    expect(WorkspacePath.safeParse(path).success).toBe(false);
  });
});

describe("scriptLines", () => {
  it("keeps empty lines inside a script, and removes those at its end", () => {
    expect(scriptLines({ run: "a\n\nb\n" })).toEqual(["a", "", "b"]);
  });
});
