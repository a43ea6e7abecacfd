import { join } from "node:path";
import type { Runtime } from "@airlock/runtime";
import { createDockerRuntime } from "@airlock/runtime/docker";
import { createOciRuntime } from "@airlock/runtime/oci";
import {
  createDatabase,
  describeWithEngines,
  engines,
  InstanceProcess,
  makeRepository,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import { startExecutor } from "../testing/start-executor.ts";

/** Sends a request to the upload port and prints the answer. */
const sendFunction = `send() {
  exec 3<>/dev/tcp/127.0.0.1/\${SRC_ENDPOINT##*:}
  printf '%s HTTP/1.1\\r\\nHost: %s\\r\\nContent-Length: 5\\r\\n\\r\\nindex' "$1" "\${SRC_ENDPOINT#http://}" >&3
  tr -d '\\r' <&3
  exec 3>&-
}`;

function itUploads(createRuntime: (dir: string) => Promise<Runtime>): void {
  it("sends an index of the job's commit to the instance, without a network and without a token", async () => {
    await using stack = new AsyncDisposableStack();
    const dir = stack.use(await temporaryDirectory()).path;
    const { head, path: url } = await makeRepository(join(dir, "app"), [{ message: "one", files: [] }]);
    const database = stack.use(await createDatabase(engines().postgres?.url ?? ""));
    const instance = stack.use(
      await InstanceProcess.start({
        databaseUrl: database.url,
        dataDirectory: join(dir, "instance"),
        env: { AIRLOCK_ALLOW_LOCAL_REPOSITORIES: "true" },
      }),
    );
    await instance.rest("POST", "/repositories", { name: "app", url });
    const runtime = await createRuntime(dir);
    stack.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime }));
    const upload = (commit: string) => `send "POST /.executors/scip/upload?repository=app&commit=${commit}"`;
    const run = [
      "#!/bin/bash",
      sendFunction,
      upload(head),
      upload("a".repeat(40)),
      'send "GET /api/v1/jobs"',
      "if env | grep -i token; then exit 1; fi",
    ].join("\n");

    const { id } = (await instance.rest("POST", "/jobs", {
      ...{ repository: "app", egress: "none", upload: true },
      steps: [
        { key: "own", image: "host", run },
        { key: "named", image: "host", env: { SRC_ENDPOINT: "http://own" }, run: 'echo "at $SRC_ENDPOINT"' },
      ],
    })) as { id: number };
    const state = async () => ((await instance.rest("GET", `/jobs/${id}`)) as { state: string }).state;
    await expect.poll(state, { timeout: 60_000 }).toMatch(/^(?:completed|failed|errored)$/);

    const log = (await instance.rest("GET", `/jobs/${id}/logs`)) as string;
    expect(await state(), log).toBe("completed");
    expect(log).toMatch(/HTTP\/1\.1 202 [\s\S]*\{"id":"1"\}/);
    expect(log).toMatch(/HTTP\/1\.1 403 [\s\S]*the token is for another commit/);
    expect(log).toMatch(/HTTP\/1\.1 404 [\s\S]*unknown-route/);
    expect(log).not.toMatch(/token=/i);
    expect(log).toContain("at http://own\n");
  }, 120_000);
}

describeWithEngines(["postgres", "oci"], "an upload step on the oci runtime", () => {
  itUploads((dir) => createOciRuntime({ stateDir: join(dir, "runtime"), allowHostImage: true }));
});

describeWithEngines(["postgres", "docker"], "an upload step on the docker runtime", () => {
  itUploads(async (dir) =>
    createDockerRuntime({
      host: `unix://${engines().docker?.socketPath ?? ""}`,
      allowHostImage: true,
      workspaces: { dir: join(dir, "workspaces") },
    }),
  );
});
