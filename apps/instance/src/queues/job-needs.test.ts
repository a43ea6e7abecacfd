import { JobSpec, type JobSpecInput } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { describe, expect, it } from "vitest";
import { migrations } from "../store/migrations/index.ts";
import { jobNeeds, supportedNeeds, waivableNeeds } from "./job-needs.ts";

const step = { image: "alpine", run: "true" };
const cases: readonly [needs: string[], spec: Partial<JobSpecInput>][] = [
  [[], {}],
  [[], { resources: {}, outputs: [], diff: false, checkout: { depth: 1, tags: false, paths: [] } }],
  [
    [],
    {
      steps: [
        { ...step, run: "#!/bin/sh\ntrue" },
        { image: "alpine", commands: ["#!/usr/bin/env bash", "true"] },
      ],
    },
  ],
  [
    [],
    {
      steps: [
        { ...step, run: "#!/bin/bash -eu\ntrue" },
        { ...step, run: "#! /usr/bin/dash\ntrue" },
      ],
    },
  ],
  [[], { steps: [{ ...step, secrets: ["TOKEN"] }] }],
  [["egress"], { egress: "none" }],
  [["egress"], { egress: { allow: ["example.com:443"] } }],
  [["timeout"], { timeout: "5m" }],
  [["resources"], { resources: { shm: "128Mi" } }],
  [["checkout"], { checkout: { depth: "full" } }],
  [["checkout"], { checkout: { paths: ["a"] } }],
  [["outputs"], { outputs: ["a"] }],
  [["diff"], { diff: true }],
  [["secret files"], { steps: [step, { ...step, secrets: [{ name: "KEY", file: true }] }] }],
  [["image: host"], { steps: [step, { ...step, image: "host" }] }],
  [["#! lines for other interpreters"], { steps: [{ ...step, run: "#!/bin/bash -l\ntrue" }] }],
  [["#! lines for other interpreters"], { steps: [{ ...step, run: "#!/usr/bin/env python3\nprint(1)" }] }],
  [
    ["#! lines for other interpreters"],
    { steps: [{ image: "alpine", commands: ["#!/usr/bin/env -S perl -w", "1;"] }] },
  ],
  [
    ["egress", "timeout", "resources", "checkout", "outputs", "diff", "secret files", "image: host"],
    {
      egress: "public",
      timeout: "1h",
      resources: { cpus: 1 },
      checkout: { tags: true },
      outputs: ["a"],
      diff: true,
      steps: [{ ...step, image: "host", secrets: [{ name: "KEY", file: true }] }],
    },
  ],
];
const specs = cases.map(([needs, part]) => ({ needs, spec: JobSpec.parse({ steps: [step], ...part }) }));

describe("jobNeeds", () => {
  it.each(specs)("returns $needs", ({ needs, spec }) => {
    expect(jobNeeds(spec, null)).toEqual(needs);
  });

  it("restricts a job of a SHA-256 repository to executors that support such repositories", () => {
    const spec = JobSpec.parse({ steps: [step] });
    expect(jobNeeds(spec, "a".repeat(40))).toEqual([]);
    expect(jobNeeds(spec, "a".repeat(64))).toEqual(["SHA-256 repositories"]);
    expect(supportedNeeds({ extensions: true, capabilities: [] })).toContain("SHA-256 repositories");
  });

  it("keeps a job with uploads for executors that give steps a connection", () => {
    expect(jobNeeds(JobSpec.parse({ steps: [step], upload: true }), null)).toEqual(["upload"]);
    expect(supportedNeeds({ extensions: true, capabilities: ["uploads"] })).toContain("upload");
    expect(supportedNeeds({ extensions: true, capabilities: ["results"] })).not.toContain("upload");
    expect(waivableNeeds).not.toContain("upload");
  });

  it("keeps a job with Docker for executors that offer it", () => {
    for (const services of ["docker", ["docker"]] as const) {
      expect(jobNeeds(JobSpec.parse({ steps: [step], services }), null)).toEqual(["services: docker"]);
    }
    expect(supportedNeeds({ extensions: true, capabilities: ["docker"] })).toContain("services: docker");
    expect(supportedNeeds({ extensions: true, capabilities: ["results"] })).not.toContain("services: docker");
    expect(waivableNeeds).not.toContain("services: docker");
  });

  it("keeps a job with the image host from executors that run only container images", () => {
    const spec = JobSpec.parse({ steps: [{ ...step, image: "host" }] });
    expect(jobNeeds(spec, null)).toEqual(["image: host"]);
    expect(supportedNeeds({ extensions: true, capabilities: ["results"] })).toContain("image: host");
    const restricted = { extensions: true, capabilities: ["results", "container-images-only"] };
    expect(supportedNeeds(restricted)).not.toContain("image: host");
    expect(waivableNeeds).not.toContain("image: host");
  });

  it("returns only needs that a fully capable executor supports, while a foreign one supports none of them", () => {
    const all = supportedNeeds({ extensions: true, capabilities: ["results", "secret-files"] });
    expect(specs.flatMap(({ spec }) => jobNeeds(spec, null)).filter((need) => !all.includes(need))).toEqual([]);
    expect(supportedNeeds({ extensions: false, capabilities: ["results"] })).toEqual([]);
  });
});

describeWithEngines(["postgres"], "needs of jobs that were queued before needs existed", () => {
  it("are the same as those of new jobs", async () => {
    await using database = await createDatabase(engines().postgres?.url ?? "");
    const client = new pg.Client({ connectionString: database.url });
    await client.connect();
    try {
      const introduced = migrations.findIndex(({ name }) => name === "job-needs");
      for (const { sql } of migrations.slice(0, introduced)) await client.query(sql);
      for (const { spec } of specs) {
        await client.query("insert into jobs (queue, spec, labels, revision) values ('default', $1, '{}', 'HEAD')", [
          JSON.stringify(spec),
        ]);
      }
      for (const { sql } of migrations.slice(introduced)) await client.query(sql);
      const { rows } = await client.query<{ needs: string[] }>("select needs from jobs order by id");
      expect(rows.map(({ needs }) => needs)).toEqual(specs.map(({ needs }) => needs));
    } finally {
      await client.end();
    }
  });
});
