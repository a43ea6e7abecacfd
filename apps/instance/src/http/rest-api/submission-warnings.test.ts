import { JobView } from "@airlock/api";
import {
  createDatabase,
  describeWithEngines,
  engines,
  makeRepository,
  runGit,
  type TemporaryDirectory,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "warnings of a submission", () => {
  let target: TestInstance;
  let directory: TemporaryDirectory;
  beforeAll(async () => {
    directory = await temporaryDirectory();
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
    await directory?.[Symbol.asyncDispose]();
  });

  it("include a revision that is both a tag and a branch, and stay with the job", async () => {
    const url = `${directory.path}/app.git`;
    const { commits } = await makeRepository(url, [
      { message: "One", files: [], tag: "1.0" },
      { message: "Two", files: [] },
    ]);
    await runGit(url, ["branch", "1.0", "main"]);
    await target.rest("POST", "/repositories", { name: "app", url });
    const submit = async (revision: string) => {
      const body = { repository: "app", revision, steps: [{ image: "alpine", run: "true" }] };
      return JobView.parse(await (await target.rest("POST", "/jobs", body)).json());
    };
    const job = await submit("1.0");
    expect(job).toMatchObject({
      commit: commits[0],
      warnings: [
        'the revision "1.0" could mean the tag refs/tags/1.0 or the branch refs/heads/1.0; the job runs the tag refs/tags/1.0. Use the full name to choose another one.',
      ],
    });
    expect(JobView.parse(await (await target.rest("GET", `/jobs/${job.id}`)).json()).warnings).toEqual(job.warnings);
    expect(await submit("refs/heads/1.0")).toMatchObject({ commit: commits[1], warnings: [] });
    expect(await submit("main")).toMatchObject({ commit: commits[1], warnings: [] });
  });

  it("include a checkout without a repository, while a checkout with a repository is shown", async () => {
    const submit = async (spec: object) => {
      const body = { steps: [{ image: "alpine", run: "true" }], ...spec };
      return JobView.parse(await (await target.rest("POST", "/jobs", body)).json());
    };
    expect(await submit({ checkout: { depth: 5 } })).toMatchObject({
      warnings: ["checkout has no effect: the job has no repository"],
    });
    expect(await submit({})).toMatchObject({ checkout: { depth: 1, tags: false, paths: [] }, warnings: [] });
    const url = `${directory.path}/checkout.git`;
    await makeRepository(url, [{ message: "One", files: [] }]);
    await target.rest("POST", "/repositories", { name: "checkout", url });
    expect(await submit({ repository: "checkout", checkout: { depth: "full", paths: ["web/"] } })).toMatchObject({
      checkout: { depth: "full", tags: false, paths: ["web"] },
      warnings: [],
    });
    const refused = await target.rest("POST", "/jobs", {
      checkout: { depth: 0 },
      steps: [{ image: "x", run: "true" }],
    });
    expect(refused.status).toBe(400);
    expect(JSON.stringify(await refused.json())).toContain("checkout.depth: must be a number of commits from 1 to");
  });
});
