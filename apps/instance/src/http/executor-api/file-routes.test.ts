import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { payloadFileId } from "../../dispatch/job-payload.ts";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "files of a job", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  it("come with the job, and one by one from the files route", async () => {
    const path = "scripts/fix it.py";
    const id = await target.submit({ files: { [path]: "print('ä')\n" } });
    const job = (await (
      await target.executor("queue/default/dequeue", { executorName: "e", version: "5.3.0" })
    ).json()) as TakenJob & { files: Record<string, { content: string }> };
    expect(Buffer.from(job.files[path]?.content ?? "", "base64").toString()).toBe("print('ä')\n");
    const url = `${target.url}/.executors/files/batch-changes/${id}/${payloadFileId(path)}`;
    const headers = jobHeaders(job, "e");
    const get = await fetch(url, { headers });
    expect([get.status, await get.text()]).toEqual([200, "print('ä')\n"]);
    expect((await fetch(url, { headers, method: "HEAD" })).status).toBe(200);
    expect((await fetch(`${url}0`, { headers })).status).toBe(404);
    // The shared secret gives no access to a job's files unless old executors are allowed.
    const secret = { authorization: `token-executor ${target.instance.executorToken}` };
    expect((await fetch(url, { headers: secret })).status).toBe(403);
  });

  it.each([
    ["an absolute path", { "/etc/passwd": "x" }],
    ["a path with ..", { "a/../../b": "x" }],
    ["too much text", { big: "x".repeat(9 * 1024 * 1024) }],
  ])("are refused with %s", async (_title, files) => {
    const steps = [{ image: "alpine", run: "true" }];
    expect((await target.rest("POST", "/jobs", { steps, files })).status).toBe(400);
  });
});
