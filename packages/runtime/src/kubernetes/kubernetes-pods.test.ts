import { randomBytes } from "node:crypto";
import {
  busyboxImage,
  clusterHookMs,
  describeWithEngines,
  kubectl,
  type PrivateRegistry,
  pushImage,
  startPrivateRegistry,
  trustRegistry,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RegistryCredentials, Runtime, Sandbox, SandboxPlan } from "../contract/index.ts";
import { openTestNamespace, type TestNamespace } from "./testing/kubernetes-under-test.ts";

const uid = 1_234_567;
const signal = new AbortController().signal;

let stack: AsyncDisposableStack;
let namespace: TestNamespace;

async function create(runtime: Runtime, changes: Partial<SandboxPlan> = {}): Promise<Sandbox> {
  const plan: SandboxPlan = {
    id: `pods-${randomBytes(4).toString("hex")}`,
    owner: "pods",
    workspace: { checkout: null, files: [], readOnlyFiles: [] },
    limits: { cpus: 0.5, memoryBytes: 128e6, pids: 100 },
    egress: { kind: "none" },
    ...changes,
  };
  return await runtime.createSandbox(plan, { signal });
}

async function inNamespace(...words: readonly string[]): Promise<string> {
  return await kubectl(namespace.cluster, "--namespace", namespace.name, ...words);
}

describeWithEngines(["kubernetes", "registry"], "private images in Kubernetes", () => {
  let registry: PrivateRegistry;
  let runtime: Runtime;
  let image: string;
  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    namespace = stack.use(await openTestNamespace("restricted", { kind: "restricted", uid, gid: uid }));
    registry = stack.use(await startPrivateRegistry(namespace.cluster.hostAddress));
    await trustRegistry(namespace.cluster, registry.address);
    const { authorization } = registry.users[0];
    image = await pushImage(await busyboxImage({ Env: ["PATH=/bin", `OF=${namespace.run}`] }), {
      registry: registry.address,
      repository: "team/secret",
      authorization,
    });
    runtime = namespace.createRuntime({ pods: { stepPullPolicy: "Always" } });
    stack.defer(() => runtime.close());
  }, clusterHookMs);
  afterAll(() => stack?.disposeAsync());

  async function prepare(credentials: RegistryCredentials | undefined): Promise<void> {
    const registryAuth = credentials ? { [registry.address]: credentials } : {};
    await using sandbox = await create(runtime, { registryAuth });
    await sandbox.prepareImage(image, { signal, progress: () => {} });
  }

  const failure = (work: Promise<void>) =>
    work.then(
      () => undefined,
      (error: unknown) => error,
    );

  it("are pulled with the job's credentials, of which the namespace keeps nothing", async () => {
    const [alice] = registry.users;
    await prepare(alice);

    await expect.poll(() => inNamespace("get", "secrets", "-o", "name"), { timeout: 20_000 }).toBe("");
  });

  it("are refused without credentials, with wrong ones, and with those that Kubernetes can't use", async () => {
    const wrong = { username: "alice", password: "wrong-password-of-alice" };
    const token = { username: "", password: "", identityToken: "token" };

    const [without, refused] = await Promise.all([failure(prepare(undefined)), failure(prepare(wrong))]);

    expect(without).toMatchObject({ reason: "image-invalid" });
    expect(refused).toMatchObject({ reason: "image-invalid" });
    expect(JSON.stringify(refused)).not.toContain(wrong.password);
    await expect(prepare(token)).rejects.toMatchObject({ reason: "policy" });
  });
});
