import { join } from "node:path";
import type { Runtime } from "@airlock/runtime";
import { createDockerRuntime } from "@airlock/runtime/docker";
import { createOciRuntime } from "@airlock/runtime/oci";
import {
  debianFixture,
  debianImages,
  describeWithEngines,
  engines,
  loadImageDirectory,
  makeRepository,
  temporaryDirectory,
} from "@airlock/test-kit";
import { expect, it } from "vitest";
import { ScriptedInstance } from "../testing/scripted-instance.ts";
import { airlockJob, startExecutor } from "../testing/start-executor.ts";

/** Typical git commands in a checkout. */
const gitWork = [
  "git status --porcelain --branch",
  "git log --oneline | wc -l",
  "git config user.name Step && git config user.email step@example.com",
  "git switch -qc work",
  "echo by $(id -un) >> log.txt && git add . && git commit -qm step",
  "git diff --stat HEAD~1 | cat",
  "printf '#!/bin/sh\\necho the hook ran\\n' > .git/hooks/pre-commit && chmod +x .git/hooks/pre-commit",
  "echo again >> log.txt && git stash -q && git stash pop -q && git commit -qam again",
  "git tag v1 && git gc -q && git fsck && git rev-parse --is-shallow-repository",
];

function itDoesRealWork(
  createRuntime: (stateDir: string, signal: AbortSignal) => Promise<Runtime>,
  dockerHost = "",
): void {
  it("use git in the checkout as root, as the image's user and as root again", async () => {
    await using cleanup = new AsyncDisposableStack();
    const dir = cleanup.use(await temporaryDirectory()).path;
    const instance = cleanup.use(await ScriptedInstance.start({ repositoriesDir: join(dir, "served") }));
    const { head } = await makeRepository(join(dir, "served", "team/app"), [
      { message: "one", files: [{ path: "log.txt", content: "one\n" }] },
      { message: "two", files: [{ path: "Zürich 東京/b.txt", content: "two\n" }] },
    ]);
    const runtime = await createRuntime(join(dir, "runtime"), AbortSignal.timeout(120_000));
    const env = { EXECUTOR_RUNTIME: runtime.name, ...(dockerHost ? { DOCKER_HOST: dockerHost } : {}) };
    cleanup.use(await startExecutor({ url: instance.url, dataDir: join(dir, "executor"), runtime, env }));
    const step = (key: string, image: keyof typeof debianImages, ...commands: readonly string[]) => {
      return { key, image: debianImages[image], commands: [...commands], dir: "", env: [] };
    };
    const dockerSteps = [
      step("root", "plain", ...gitWork),
      step("user", "builder", "git branch -m before", ...gitWork.map(retagged)),
      step("service", "service", "git status --porcelain", "git log --oneline work | wc -l"),
      step(
        "root-again",
        "plain",
        "git -c core.pager=cat log --format=%s work",
        "git diff before work -- log.txt | cat",
      ),
    ];
    instance.enqueue(airlockJob(1, [], { repositoryName: "team/app", commit: head, dockerSteps }));

    await instance.until(() => instance.requests.some(({ path }) => path.includes("/mark")));

    const output = (key: string) => instance.output(1, `step.docker.${key}`);
    const all = dockerSteps.map(({ key }) => output(key)).join("---\n");
    expect(instance.bodies("markFailed"), all).toEqual([]);
    expect(output("root")).toMatch(/^## HEAD \(no branch\)\n\d+\n[\s\S]*1 insertion[\s\S]*the hook ran\n/);
    expect(output("user")).toMatch(/the hook ran\n[\s\S]*1 insertion[\s\S]*the hook ran\n/);
    expect(output("root-again")).toMatch(/^again\nstep\nagain\nstep\n/);
    expect(output("root-again")).toContain("+by builder");
  }, 180_000);
}

function retagged(command: string): string {
  return command.replace("tag v1", "tag v2");
}

describeWithEngines(["oci", "debian"], "workloads of real jobs on the oci runtime", () => {
  itDoesRealWork(async (stateDir, signal) => {
    const { imagesDirectory } = await debianFixture();
    const runtimePath = engines().oci?.runtimePath ?? "";
    const runtime = await createOciRuntime({ stateDir, allowHostImage: false, runtimePath });
    await runtime.loadImages(imagesDirectory, { signal });
    return runtime;
  });
});

describeWithEngines(["docker", "debian"], "workloads of real jobs on the docker runtime", () => {
  const socketPath = engines().docker?.socketPath ?? "";
  itDoesRealWork(async (stateDir) => {
    await loadImageDirectory((await debianFixture()).imagesDirectory, socketPath);
    return createDockerRuntime({
      host: `unix://${socketPath}`,
      allowHostImage: false,
      workspaces: { dir: join(stateDir, "workspaces") },
    });
  }, `unix://${socketPath}`);
});
