import { join } from "node:path";
import {
  busyboxImage,
  describeWithEngines,
  engines,
  type PrivateRegistry,
  pushImage,
  startPrivateRegistry,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RegistryCredentials, Runtime } from "./contract/index.ts";
import { createDockerRuntime } from "./docker/index.ts";
import { createOciRuntime } from "./oci/index.ts";

const signal = new AbortController().signal;

/** What both runtimes owe an image whose registry wants credentials. */
function itKeepsPrivateImages(
  createRuntime: (stateDir: string, registry: string) => Promise<Runtime>,
  kind: string,
): void {
  let stack: AsyncDisposableStack;
  let registry: PrivateRegistry;
  let dir: string;
  let runtime: Runtime;
  let image: string;
  let sandboxes = 0;

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
    registry = stack.use(await startPrivateRegistry(engines().registry?.address.replace(/:\d+$/, "")));
    const { authorization } = registry.users[0];
    image = await pushImage(await busyboxImage({ Env: ["PATH=/bin", `OF=${kind}`] }), {
      registry: registry.address,
      repository: `${kind}/secret`,
      authorization,
    });
    runtime = await createRuntime(join(dir, "state"), registry.address);
    stack.defer(() => runtime.close());
  });
  afterAll(() => stack.disposeAsync());

  async function prepare(credentials: RegistryCredentials | undefined, used = runtime): Promise<readonly string[]> {
    sandboxes += 1;
    await using sandbox = await used.createSandbox(
      {
        id: `private-${process.pid}-${sandboxes}`,
        owner: "test-private",
        workspace: { checkout: null, files: [], readOnlyFiles: [] },
        limits: { cpus: 1, memoryBytes: 256e6, pids: 100 },
        egress: { kind: "none" },
        ...(credentials ? { registryAuth: { [registry.address]: credentials } } : {}),
      },
      { signal },
    );
    const words: string[] = [];
    await sandbox.prepareImage(image, { signal, progress: (text) => words.push(text) });
    return words;
  }

  it("are refused without credentials and with wrong ones", async () => {
    const wrong = { username: "alice", password: "wrong-password-of-alice" };

    await expect(prepare(undefined)).rejects.toMatchObject({ reason: "image-invalid" });
    await expect(prepare(wrong)).rejects.toMatchObject({ reason: "image-invalid" });
    await expect(prepare(wrong)).rejects.not.toThrow("wrong-password-of-alice");
  });

  it("are pulled with the job's credentials, and afterwards refused to jobs that may not read them, also after a restart", async () => {
    const [alice, bob] = registry.users;
    const words = await prepare(alice);

    expect(words.join("\n")).not.toContain(alice.password);
    await expect(prepare(undefined)).rejects.toMatchObject({ reason: "image-invalid" });
    await expect(prepare({ username: "eve", password: "x" })).rejects.toMatchObject({ reason: "image-invalid" });
    expect((await prepare(bob)).join("\n")).toMatch(/^asking /);

    const restarted = await createRuntime(join(dir, "state"), registry.address);
    try {
      await expect(prepare(undefined, restarted)).rejects.toMatchObject({ reason: "image-invalid" });
      await prepare(bob, restarted);
    } finally {
      await restarted.close();
    }
  });
}

describeWithEngines(["oci", "registry"], "private images on the oci runtime", () => {
  itKeepsPrivateImages(
    (stateDir, registry) =>
      createOciRuntime({
        stateDir,
        allowHostImage: false,
        runtimePath: engines().oci?.runtimePath ?? "",
        // The registry of the tests is not always on the loopback.
        registry: { insecureRegistries: [registry] },
      }),
    "oci",
  );
});

describeWithEngines(["docker", "registry"], "private images on the docker runtime", () => {
  itKeepsPrivateImages(
    async (stateDir) =>
      createDockerRuntime({
        host: `unix://${engines().docker?.socketPath}`,
        allowHostImage: false,
        workspaces: { dir: join(stateDir, "workspaces") },
      }),
    "docker",
  );
});
