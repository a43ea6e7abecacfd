import {
  createDatabase,
  describeExecutorApi,
  describeWithEngines,
  engines,
  makeRepository,
  temporaryDirectory,
} from "@airlock/test-kit";
import { describe } from "vitest";
import { startTestInstance } from "../../testing/test-instance.ts";

const newDatabase = () => createDatabase(engines().postgres?.url ?? "");

describeWithEngines(["postgres"], "an instance for executors of every generation", () => {
  describe.each([
    ["with its default settings", false],
    ["that accepts executors from before job tokens", true],
  ])("%s", (_title, legacySharedSecret) => describeInstance(legacySharedSecret));
});

function describeInstance(legacySharedSecret: boolean): void {
  describeExecutorApi(async () => {
    await using stack = new AsyncDisposableStack();
    const directory = stack.use(await temporaryDirectory());
    const files = [{ path: "README.md", content: "# Hello\n" }];
    const one = await makeRepository(`${directory.path}/one`, [{ message: "First", files }]);
    await makeRepository(`${directory.path}/two`, [{ message: "First", files }]);
    const target = stack.use(await startTestInstance(await newDatabase(), { legacySharedSecret }));
    for (const name of ["one", "two"]) {
      await target.rest("POST", "/repositories", { name, url: `${directory.path}/${name}` });
    }
    const resources = stack.move();
    return {
      url: target.url,
      sharedSecret: target.instance.executorToken,
      sharedSecretOpensJobs: legacySharedSecret,
      repository: { name: "one", commit: one.head },
      otherRepository: { name: "two" },
      enqueue: ({ queue, repository, commands }) =>
        target.submit({
          queue,
          ...(repository ? { repository } : {}),
          steps: [{ key: "main", image: "alpine", commands }],
        }),
      async requestCancel(id) {
        await target.rest("POST", `/jobs/${id}/cancel`);
      },
      async state(id) {
        const job = (await (await target.rest("GET", `/jobs/${id}`)).json()) as { state: string };
        return job.state;
      },
      async log(id) {
        return (await target.rest("GET", `/jobs/${id}/logs`)).text();
      },
      [Symbol.asyncDispose]: () => resources.disposeAsync(),
    };
  });
}
