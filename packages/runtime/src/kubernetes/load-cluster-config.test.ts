import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { loadClusterConfig } from "./load-cluster-config.ts";

let stack: AsyncDisposableStack;
let dir: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  vi.stubEnv("HOME", dir);
  vi.stubEnv("KUBERNETES_SERVICE_HOST", undefined);
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await stack.disposeAsync();
});

const kubeconfig = (server: string) =>
  JSON.stringify({
    "current-context": "c",
    contexts: [{ name: "c", context: { cluster: "k", user: "u" } }],
    clusters: [{ name: "k", cluster: { server, "certificate-authority": "ca.crt" } }],
    users: [{ name: "u", user: { token: "t" } }],
  });

async function write(name: string, content: string): Promise<string> {
  const path = join(dir, name);
  await writeFile(path, content);
  return path;
}

describe("the way to a cluster", () => {
  it("is the given kubeconfig, else that of the user, with paths relative to the file", async () => {
    await mkdir(join(dir, ".kube"));
    await write(".kube/config", kubeconfig("https://own.example.com"));
    const given = await write("given", kubeconfig("https://given.example.com"));

    const cluster = (await loadClusterConfig(given)).getCurrentCluster();
    expect(cluster).toMatchObject({ server: "https://given.example.com", caFile: join(dir, "ca.crt") });
    expect((await loadClusterConfig(undefined)).getCurrentCluster()?.server).toBe("https://own.example.com");
  });

  it("is refused with the file and the next step if it is unusable", async () => {
    const hint = expect.stringContaining("EXECUTOR_KUBERNETES_CONFIG_PATH");
    const malformed = await write("malformed", "clusters: [");
    const empty = await write(
      "empty",
      JSON.stringify({ "current-context": "c", contexts: [], clusters: [], users: [] }),
    );
    const refused = (path: string | undefined, text: string) =>
      expect(loadClusterConfig(path)).rejects.toMatchObject({
        code: "invalid-configuration",
        message: expect.stringContaining(text),
        hint,
      });

    await refused(join(dir, "missing"), `cannot read the kubeconfig ${join(dir, "missing")}`);
    await refused(malformed, `the kubeconfig ${malformed} is invalid`);
    await refused(empty, `the kubeconfig ${empty} names no cluster by its current context "c"`);
    await refused(undefined, "there is no ~/.kube/config, and this process is not in a pod");
  });

  it("is the pod's service account in a pod, which needs its token", async () => {
    vi.stubEnv("KUBERNETES_SERVICE_HOST", "10.96.0.1");

    await expect(loadClusterConfig(undefined)).rejects.toMatchObject({
      message: expect.stringContaining("this pod has no token of a service account"),
      hint: expect.stringContaining("automountServiceAccountToken"),
    });
  });
});
