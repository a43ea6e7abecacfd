import { describeIssues, JobSpec, type JobView } from "@airlock/api";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { issuesByField } from "../../forms/issues.ts";
import { jobSummary } from "../../testing/job-summary-fixture.ts";
import { commandLine } from "./command-line.ts";
import { emptyForm, emptyStep, fieldPaths, formOf, toJobSpec } from "./form-model.ts";
import { jobFile } from "./job-file.ts";

const step = { ...emptyStep(), image: "alpine:3", run: "echo one\necho 'two'\n" };
const simple = { ...emptyForm("github.com/a/b"), revision: "main", steps: [step] };

describe("formOf", () => {
  it("fills the form from an existing job, with its namespace and the names of its secrets", () => {
    const step = { key: "test", image: "alpine:3", commands: ["make"], dir: "web" };
    const secrets = [
      { name: "NPM_TOKEN", file: false },
      { name: "DEPLOY_KEY", file: true },
    ];
    const job: JobView = {
      ...jobSummary({ state: "failed", attempt: 1, namespace: "team" }),
      priority: 0,
      checkout: { depth: "full", tags: true, paths: ["web"] },
      labels: { arch: "arm64" },
      resources: { cpus: 2 },
      egress: { allow: ["a.example:443"] },
      timeoutMs: 600_000,
      maxWaitMs: null,
      outputs: ["dist/**"],
      diff: true,
      upload: true,
      services: ["docker"],
      steps: [{ ...step, secrets, state: "failed", exitCode: 1, durationMs: 5 }],
      exitCode: 1,
      attempts: [],
      entries: [],
      artifacts: [],
      explanation: { code: "finished", message: "" },
      warnings: [],
    };
    expect(toJobSpec(formOf(job))).toEqual({
      namespace: "team",
      repository: "github.com/a/b",
      revision: "main",
      checkout: { depth: "full", tags: true, paths: ["web"] },
      steps: [
        {
          key: "test",
          image: "alpine:3",
          run: "make",
          dir: "web",
          secrets: ["NPM_TOKEN", { name: "DEPLOY_KEY", file: true }],
        },
      ],
      resources: { cpus: 2 },
      egress: { allow: ["a.example:443"] },
      timeout: "10m",
      outputs: ["dist/**"],
      diff: true,
      upload: true,
      services: ["docker"],
      labels: { arch: "arm64" },
    });
  });
});

describe("toJobSpec", () => {
  it("omits fields that were left empty", () => {
    expect(toJobSpec(simple)).toEqual({
      repository: "github.com/a/b",
      revision: "main",
      steps: [{ image: "alpine:3", run: "echo one\necho 'two'\n" }],
    });
  });

  it("includes everything that was filled in, in a form that the schema accepts", () => {
    const spec = toJobSpec({
      ...simple,
      queue: "batches",
      depth: "50",
      tags: true,
      paths: "web\n docs/ \n",
      namespace: "team",
      steps: [
        {
          ...step,
          key: "test",
          dir: "web",
          env: [
            { id: 1, name: " A ", value: " b " },
            { id: 2, name: "", value: "x" },
          ],
          secrets: ["NPM_TOKEN"],
          secretFiles: ["DEPLOY_KEY"],
        },
        { ...step, key: "build" },
      ],
      cpus: "1.5",
      memory: "512Mi",
      disk: "2G",
      pids: "100",
      shm: "256Mi",
      egress: "allow",
      allow: "a.example:443\n\n *.b.example ",
      timeout: "10m",
      outputs: "dist/**\n",
      labels: [{ id: 1, name: "arch", value: "arm64" }],
      priority: "-5",
    });
    expect(JobSpec.parse(spec)).toMatchObject({
      queue: "batches",
      checkout: { depth: 50, tags: true, paths: ["web", "docs"] },
      namespace: "team",
      steps: [
        {
          key: "test",
          dir: "web",
          env: { A: " b " },
          secrets: [
            { name: "NPM_TOKEN", file: false },
            { name: "DEPLOY_KEY", file: true },
          ],
        },
        { key: "build" },
      ],
      resources: { cpus: 1.5, memory: "512Mi", disk: "2G", pids: 100, shm: "256Mi" },
      egress: { allow: ["a.example:443", "*.b.example"] },
      timeout: "10m",
      outputs: ["dist/**"],
      labels: { arch: "arm64" },
      priority: -5,
    });
  });

  it("keeps invalid values, so that the schema's error appears at its field", () => {
    const values = {
      ...simple,
      queue: "Not A Queue",
      depth: "deep",
      paths: "../up",
      cpus: "many",
      memory: "much",
      egress: "allow" as const,
      timeout: "soon",
      steps: [step, { ...step, image: "", dir: "../up", env: [{ id: 1, name: "1X", value: "" }] }],
    };
    const parsed = JobSpec.safeParse(toJobSpec(values));
    const issues = issuesByField(parsed.error ? describeIssues(parsed.error) : [], fieldPaths(values));
    expect([...issues.fields.keys()].sort()).toEqual([
      "checkout.depth",
      "checkout.paths",
      "egress",
      "queue",
      "resources.cpus",
      "resources.memory",
      "steps[1].dir",
      "steps[1].env",
      "steps[1].image",
      "timeout",
    ]);
    expect(issues.others).toEqual([]);
  });
});

describe("jobFile", () => {
  it.each([
    "yes",
    "null",
    "1.0",
    "# no comment",
    "a: b",
    "- x",
    "tab\there",
    "two\nlines\n",
    "trailing \n\n",
    "'\"",
    "\u0007bell",
    "%d",
  ])("writes a script %j so that it can be read back unchanged", (run) => {
    const spec = toJobSpec({ ...simple, steps: [{ ...step, run }] });
    expect(parse(jobFile(spec))).toEqual(spec);
  });

  it("shows a multi-line script as lines", () => {
    expect(jobFile(toJobSpec(simple))).toContain("    run: |\n      echo one\n      echo 'two'\n");
  });
});

describe("commandLine", () => {
  it("shows a simple job with options, quoted for the shell", () => {
    const spec = toJobSpec({
      ...simple,
      queue: "q",
      steps: [{ ...step, run: "echo 'hi'", env: [{ id: 1, name: "A", value: "b c" }] }],
    });
    expect(commandLine(spec)).toEqual({
      usesFile: false,
      text: [
        "airlock job submit \\",
        "  --queue q \\",
        "  --repo github.com/a/b \\",
        "  --rev main \\",
        "  --image alpine:3 \\",
        "  --env 'A=b c' \\",
        "  --follow \\",
        "  -- sh -ec 'echo '\\''hi'\\'''",
      ].join("\n"),
    });
  });

  it("shows the checkout as options", () => {
    const spec = toJobSpec({ ...simple, depth: "full", tags: true, paths: "a b\nc" });
    expect(commandLine(spec).text).toContain("--depth full \\\n  --tags \\\n  --path 'a b' \\\n  --path c \\\n");
  });

  it("shows limits, network and labels as options", () => {
    const spec = toJobSpec({
      ...simple,
      cpus: "1.5",
      memory: "2Gi",
      shm: "1Gi",
      timeout: "5m",
      egress: "allow",
      allow: "a.example:443\n*.b.example",
      labels: [{ id: 1, name: "arch", value: "arm64" }],
      priority: "-5",
      namespace: "team",
      steps: [{ ...step, secrets: ["NPM_TOKEN"], secretFiles: ["DEPLOY_KEY"] }],
    });
    const { text, usesFile } = commandLine(spec);
    expect(usesFile).toBe(false);
    for (const option of [
      "--cpus 1.5",
      "--memory 2Gi",
      "--shm 1Gi",
      "--timeout 5m",
      "--egress a.example:443",
      "--egress '*.b.example'",
      "--label arch=arm64",
      "--priority=-5",
      "--namespace team",
      "--secret NPM_TOKEN",
      "--secret-file DEPLOY_KEY",
    ]) {
      expect(text).toContain(`  ${option} `);
    }
  });

  it.each([
    { disk: "5G" },
    { pids: "10" },
    { outputs: "dist/**" },
    { steps: [step, { ...step, key: "b" }] },
    { steps: [{ ...step, dir: "web" }] },
  ])("needs a job file for %o", (changes) => {
    expect(commandLine(toJobSpec({ ...simple, ...changes }))).toMatchObject({ usesFile: true });
  });
});
