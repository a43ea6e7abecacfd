import { join } from "node:path";
import { describeWithEngines, engines, temporaryDirectory } from "@airlock/test-kit";
import { expect, it, vi } from "vitest";
import { type RuntimeChoice, selectRuntime } from "./select-runtime.ts";

const signal = new AbortController().signal;
const deaf = "unix:///nonexistent/docker.sock";

async function select(kind: RuntimeChoice["kind"], host: string, runtimePath?: string): Promise<string> {
  await using directory = await temporaryDirectory();
  const oci = { stateDir: join(directory.path, "state"), allowHostImage: false };
  const workspaces = { dir: join(directory.path, "workspaces") };
  const microvm = { stateDir: join(directory.path, "state"), guestDir: join(directory.path, "guest") };
  const choice = {
    kind,
    microvm,
    docker: { host, allowHostImage: false, workspaces },
    oci: runtimePath ? { ...oci, runtimePath } : oci,
  };
  const runtime = await selectRuntime(choice, { signal });
  await runtime.close();
  return runtime.name;
}

describeWithEngines(["docker", "oci"], "selectRuntime", () => {
  it("prefers a Docker engine that answers, and uses an OCI runtime if no engine does", async () => {
    const host = `unix://${engines().docker?.socketPath}`;
    expect(await select("auto", host)).toBe("docker");
    expect(await select("auto", deaf)).toBe("oci");
    expect(await select("docker", deaf)).toBe("docker");
    expect(await select("oci", host)).toBe("oci");
  });
});

it("names the one command to type if there is neither", async () => {
  await expect(select("auto", deaf, "/nonexistent/crun")).rejects.toMatchObject({
    code: "no-runtime",
    hint: "apt-get install -y crun",
  });
});

it("names the settings for a pod if there is neither in a pod", async () => {
  vi.stubEnv("KUBERNETES_SERVICE_HOST", "10.96.0.1");
  try {
    await expect(select("auto", deaf, "/nonexistent/crun")).rejects.toMatchObject({
      hint: expect.stringContaining("EXECUTOR_KUBERNETES_AGENT_IMAGE"),
    });
  } finally {
    vi.unstubAllEnvs();
  }
});
