import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  createDatabase,
  describeWithEngines,
  engines,
  InstanceProcess,
  makeRepository,
  runGit,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { startExecutor } from "../testing/start-executor.ts";

describeWithEngines(["postgres"], "a SHA-256 repository", () => {
  it("works end to end: mirror, revision, checkout with tags, diff and artifact", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(await temporaryDirectory()).path;
    const host = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
    const commits = [
      { message: "1", files: [{ path: "a", content: "a\n" }], tag: "v1" },
      { message: "2", files: [{ path: "b", content: "b\n" }] },
    ];
    const source = await makeRepository(join(dir, "served/app.git"), commits, { objectFormat: "sha256" });
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    const instance = stack.use(
      await InstanceProcess.start({ databaseUrl: database.url, dataDirectory: join(dir, "instance") }),
    );
    await instance.rest("POST", "/repositories", { name: "app", url: `${host.url}/.executors/git/app.git` });
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor") }));

    for (const revision of ["main", source.head]) {
      const { id, commit } = (await instance.rest("POST", "/jobs", {
        repository: "app",
        revision,
        egress: "none",
        checkout: { depth: "full", tags: true },
        diff: true,
        steps: [
          { key: "main", image: "test", run: "git describe; git rev-parse HEAD; echo changed > a; echo new > c" },
        ],
      })) as { id: number; commit: string };
      expect(commit).toBe(source.head);
      const state = async () => ((await instance.rest("GET", `/jobs/${id}`)) as { state: string }).state;
      await expect.poll(state, { timeout: 30_000 }).toBe("completed");

      const log = (await instance.rest("GET", `/jobs/${id}/logs`)) as string;
      expect(log).toMatch(new RegExp(`v1-1-g[0-9a-f]+\n${source.head}\n`));
      const { artifacts } = (await instance.rest("GET", `/jobs/${id}/artifacts`)) as {
        artifacts: { id: number; name: string }[];
      };
      expect(artifacts.map(({ name }) => name)).toEqual(["workspace.diff"]);
      const patch = (await instance.rest("GET", `/jobs/${id}/artifacts/${artifacts[0]?.id}`)) as string;
      const clone = join(dir, `clone-${revision}`);
      await runGit(dir, ["clone", "-q", source.path, clone]);
      await writeFile(join(dir, "patch"), patch);
      await runGit(clone, ["apply", "--index", join(dir, "patch")]);
      expect(await runGit(clone, ["status", "--porcelain"])).toBe("M  a\nA  c");
    }
  }, 60_000);
});
