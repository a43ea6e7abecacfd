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

  it("a revision that is a tag and a branch is told of, and stays told", async () => {
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
        'the revision "1.0" could be the tag refs/tags/1.0 or the branch refs/heads/1.0; the job runs the tag refs/tags/1.0. Give the full name to choose.',
      ],
    });
    expect(JobView.parse(await (await target.rest("GET", `/jobs/${job.id}`)).json()).warnings).toEqual(job.warnings);
    expect(await submit("refs/heads/1.0")).toMatchObject({ commit: commits[1], warnings: [] });
    expect(await submit("main")).toMatchObject({ commit: commits[1], warnings: [] });
  });
});
