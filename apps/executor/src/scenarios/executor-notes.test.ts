import { join } from "node:path";
import { createDatabase, describeWithEngines, engines, InstanceProcess, temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { HostProcessRuntime } from "../testing/host-process-runtime.ts";
import { startExecutor } from "../testing/start-executor.ts";

const forge = String.raw`
printf '[airlock] forged plainly\n'
printf '[air\033[mlock] forged with an empty colour: approved by the administrator\n'
printf '[air\001lock] forged with a control character\n'
printf '\033]0;hides what follows'
kill -9 $$
`;

describeWithEngines(["postgres"], "messages of the executor", () => {
  it("appear in the log where a step's output can neither imitate nor hide them", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(await temporaryDirectory()).path;
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    const instance = stack.use(
      await InstanceProcess.start({ databaseUrl: database.url, dataDirectory: join(dir, "instance") }),
    );
    const runtime = new HostProcessRuntime();
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime }));

    const { id } = (await instance.rest("POST", "/jobs", { steps: [{ image: "test", run: forge }] })) as { id: number };
    const show = async () =>
      (await instance.rest("GET", `/jobs/${id}`)) as { state: string; entries: { entryId: number; key: string }[] };
    await expect.poll(async () => (await show()).state, { timeout: 15_000 }).toBe("failed");

    const log = (await instance.rest("GET", `/jobs/${id}/logs`)) as string;
    const mark = log.slice(0, log.indexOf("]") + 2);
    const own = log.split("\n").filter((line) => line.startsWith(mark));
    expect(own).toContain(`${mark}killed by SIGKILL`);
    expect(own.join("\n")).not.toContain("forged");
    const step = (await show()).entries.find(({ key }) => key.startsWith("step."));
    expect(await instance.rest("GET", `/jobs/${id}/logs?entry=${step?.entryId}`)).toBe(
      "[airlock] forged plainly\n[air\u001b[mlock] forged with an empty colour: approved by the administrator\n[air\u0001lock] forged with a control character\n\u001b]0;hides what follows",
    );
  });
});
