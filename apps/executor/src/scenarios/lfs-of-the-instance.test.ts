import { join } from "node:path";
import {
  createDatabase,
  describeWithEngines,
  engines,
  InstanceProcess,
  makeRepository,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import { lfsPointer } from "../testing/lfs-objects.ts";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { startExecutor } from "../testing/start-executor.ts";

describeWithEngines(["postgres"], "Git LFS through the instance", () => {
  it("gives a job the content from the code host, with the job's own credentials", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(await temporaryDirectory()).path;
    // Acts as a code host: it serves the repository and its LFS objects.
    const host = stack.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
    const content = "content ".repeat(200_000);
    host.lfs.add(content);
    await makeRepository(join(dir, "served/app.git"), [
      {
        message: "1",
        files: [
          { path: ".gitattributes", content: "*.bin filter=lfs diff=lfs merge=lfs -text\n" },
          { path: "data.bin", content: lfsPointer(content) },
        ],
      },
    ]);
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    const instance = stack.use(
      await InstanceProcess.start({ databaseUrl: database.url, dataDirectory: join(dir, "instance") }),
    );
    await instance.rest("POST", "/repositories", { name: "app", url: `${host.url}/.executors/git/app.git` });
    const env = { EXECUTOR_GIT_LFS: "true" };
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), env }));

    const { id } = (await instance.rest("POST", "/jobs", {
      repository: "app",
      egress: "none",
      steps: [{ key: "main", image: "test", run: "wc -c < data.bin; git status --porcelain; echo end" }],
    })) as { id: number };
    const state = async () => ((await instance.rest("GET", `/jobs/${id}`)) as { state: string }).state;
    await expect.poll(state, { timeout: 30_000 }).toBe("completed");

    const log = (await instance.rest("GET", `/jobs/${id}/logs`)) as string;
    expect(log).toContain("objects fetched: 1");
    expect(log).toContain(`${content.length}\nend\n`);
    // The instance fetched on the executor's behalf without forwarding the job's token.
    expect(host.lfs.requests.map(({ headers }) => headers.authorization)).toEqual(Array(3).fill(undefined));
  }, 60_000);
});
