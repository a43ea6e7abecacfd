import { chmod, mkdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { delimiter, join } from "node:path";
import { AirlockError } from "@airlock/job";
import type { RuntimeDescription } from "@airlock/runtime";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parseConfig } from "../../config/config.ts";
import type { Config } from "../../config/options.ts";
import { executorName } from "../../janitor/executor-name.ts";
import { HostProcessRuntime } from "../../testing/host-process-runtime.ts";
import { ScriptedInstance, testSecret } from "../../testing/scripted-instance.ts";
import type { Check } from "./check.ts";
import { checkCertificates } from "./check-certificates.ts";
import { checkConfiguration } from "./check-configuration.ts";
import { checkDataDirectory } from "./check-data-directory.ts";
import { checkGit } from "./check-git.ts";
import { checkInstance } from "./check-instance.ts";
import { checkProxies } from "./check-proxies.ts";
import { checkRegistryCredentials } from "./check-registry-credentials.ts";
import { checkRuntime } from "./check-runtime.ts";
import { checkUser } from "./check-user.ts";
import { checkVirtualMachine } from "./check-virtual-machine.ts";
import { runChecks } from "./run-checks.ts";
import { validate } from "./validate.ts";

let stack: AsyncDisposableStack;
let dir: string;
let instance: ScriptedInstance;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  instance = stack.use(await ScriptedInstance.start());
});

afterEach(async () => {
  await stack.disposeAsync();
});

function config(more: Readonly<Record<string, string>> = {}): Config {
  return parseConfig({
    EXECUTOR_FRONTEND_URL: instance.url,
    EXECUTOR_FRONTEND_PASSWORD: testSecret,
    EXECUTOR_QUEUE_NAME: "default",
    EXECUTOR_DATA_DIR: join(dir, "data"),
    EXECUTOR_DEFAULT_EGRESS: "none",
    // The test's own runtime runs plain processes.
    EXECUTOR_UNENFORCED_LIMITS: "none",
    DOCKER_CONFIG: join(dir, "docker"),
    PATH: process.env.PATH,
    ...more,
  });
}

async function report(check: Check): Promise<string> {
  const lines: string[] = [];
  await runChecks([check], { print: (line) => void lines.push(line), signal: new AbortController().signal });
  return lines.join("\n");
}

/** A program that prints `answer` whatever its arguments are. */
async function program(name: string, answer: string): Promise<string> {
  const bin = join(dir, "bin");
  await mkdir(bin, { recursive: true });
  await writeFile(join(bin, name), `#!/bin/sh\necho '${answer}'\n`);
  await chmod(join(bin, name), 0o755);
  return bin;
}

class DescribedRuntime extends HostProcessRuntime {
  readonly #description: Partial<RuntimeDescription>;

  constructor(description: Partial<RuntimeDescription>) {
    super();
    this.#description = description;
  }

  override async describe(): Promise<RuntimeDescription> {
    return { ...(await super.describe()), ...this.#description };
  }
}

describe("validate", () => {
  it("runs every check, and passes if all succeed", async () => {
    const lines: string[] = [];
    const passed = await validate({
      config: config(),
      createRuntime: async () => new HostProcessRuntime(),
      print: (line) => void lines.push(line),
      signal: new AbortController().signal,
    });

    expect(lines.filter((line) => line.startsWith("FAIL"))).toEqual([]);
    expect(passed).toBe(true);
    expect(lines.at(-1)).toBe("All checks passed!");
    for (const name of ["user", "data directory", "git", "runtime", "registry credentials", "certificates", "instance"])
      expect(
        lines.some((line) => line.startsWith(`ok    ${name}: `)),
        name,
      ).toBe(true);
  });

  it("continues after a check that failed", async () => {
    const lines: string[] = [];
    const passed = await validate({
      config: config({ EXECUTOR_FRONTEND_PASSWORD: "another-secret", PATH: dir }),
      createRuntime: () => Promise.reject(new Error("no engine")),
      print: (line) => void lines.push(line),
      signal: new AbortController().signal,
    });

    expect(passed).toBe(false);
    expect(lines.filter((line) => line.startsWith("FAIL")).map((line) => line.split(":")[0])).toEqual([
      "FAIL  git",
      "FAIL  runtime",
      "FAIL  instance",
    ]);
  });

  it("reports a runtime of virtual machines that can't be opened once", async () => {
    const lines: string[] = [];
    await validate({
      config: config({ EXECUTOR_RUNTIME: "microvm", EXECUTOR_UNENFORCED_LIMITS: "" }),
      createRuntime: () => Promise.reject(new Error("no QEMU")),
      print: (line) => void lines.push(line),
      signal: new AbortController().signal,
    });

    expect(lines.filter((line) => line.includes("no QEMU"))).toEqual(["FAIL  runtime: no QEMU"]);
    expect(lines).toContain("note  virtual machine: not checked, because runtime failed");
  });
});

describe("the checks of validate", () => {
  it("report variables without effect and misspelled ones", async () => {
    const text = await report(
      checkConfiguration(
        config({ EXECUTOR_FIRECRACKER_IMAGE: "x", EXECUTOR_LABLES: "a=b", KUBERNETES_KEEP_JOBS: "true" }),
      ),
    );

    expect(text).toContain("EXECUTOR_FIRECRACKER_IMAGE has no effect");
    expect(text).toContain("KUBERNETES_KEEP_JOBS has no effect: pods are deleted");
    expect(text).toContain("did you mean EXECUTOR_LABELS?");
  });

  it("boot a virtual machine, and fail with the cause if none boots", async () => {
    expect(await report(checkVirtualMachine(async () => new HostProcessRuntime()))).toMatch(
      /^ok {4}virtual machine: .*: booted with 256 MiB in \d+\.\d s, its agent keeps files$/m,
    );
    const broken = Object.assign(new HostProcessRuntime(), {
      createSandbox: () => Promise.reject(new AirlockError("no boot", { code: "runtime", hint: "Read its console." })),
    });
    expect(await report(checkVirtualMachine(async () => broken))).toMatch(
      /^FAIL {2}virtual machine: no boot\n +Read its console\.$/m,
    );
  });

  it("report what is weaker without root", async () => {
    const user = { uid: 1000, username: "ci" };
    expect(await report(checkUser("auto", user))).toMatch(/ok {4}user: ci, not root\nnote.*copies/);
    expect(await report(checkUser("kubernetes", user))).toBe("ok    user: ci, not root");
    expect(await report(checkUser("auto", { uid: 0, username: "root" }))).toBe("ok    user: root");
  });

  it("fail on a data directory that can't be created", async () => {
    await writeFile(join(dir, "file"), "");

    const text = await report(checkDataDirectory(config({ EXECUTOR_DATA_DIR: join(dir, "file", "data") })));

    expect(text).toMatch(/FAIL[\s\S]*not writable[\s\S]*EXECUTOR_DATA_DIR/);
  });

  it("fail on a full disk, and on one that has no room for more files", async () => {
    const full = await report(checkDataDirectory(config(), async () => ({ freeBytes: 5e8, freeFiles: null })));
    const crowded = await report(checkDataDirectory(config(), async () => ({ freeBytes: 1e12, freeFiles: 12 })));
    const tight = await report(checkDataDirectory(config(), async () => ({ freeBytes: 2e9, freeFiles: null })));

    expect(full).toMatch(/FAIL[\s\S]*left\n[\s\S]*EXECUTOR_DATA_DIR/);
    expect(crowded).toContain("room for only 12 more files");
    expect(tight).toMatch(/^ok[\s\S]*note[\s\S]*EXECUTOR_MIRROR_CACHE_SIZE/);
  });

  it("fail without git or with an old one, and report an unsafe one as the setting demands", async () => {
    const missing = await report(checkGit(config({ PATH: dir })));
    const old = await report(checkGit(config({ PATH: await program("git", "git version 2.20.1") })));
    const unsafe = { PATH: await program("git", "git version 2.43.6") };
    const warned = await report(checkGit(config(unsafe)));
    const refused = await report(checkGit(config({ ...unsafe, EXECUTOR_MINIMUM_VERSIONS: "refuse" })));

    expect(missing).toMatch(/FAIL {2}git: git cannot be run[\s\S]*apt-get install -y git/);
    expect(old).toContain("FAIL  git: git 2.20.1 is too old");
    expect(warned).toMatch(/^ok {4}git: 2\.43\.6\nnote {2}git: .*CVE-2025-48384.*2\.43\.7/);
    expect(refused).toMatch(/^FAIL {2}git: .*CVE-2025-48384[\s\S]*2\.43\.7/);
  });

  it("report what the runtime enforces, how disk is limited, and which of its programs are unsafe", async () => {
    const { enforces } = await new HostProcessRuntime().describe();
    const description = {
      version: "20.10.24",
      components: [{ name: "runc", version: "1.1.5" }],
      enforces: { ...enforces, egressPublic: false, disk: "watcher" },
      notes: ["The kernel does not count swap."],
    } as const;
    const runtime = async () => new DescribedRuntime(description);
    const warned = await report(checkRuntime(config({ EXECUTOR_DEFAULT_EGRESS: "public" }), runtime));
    const refused = await report(checkRuntime(config({ EXECUTOR_MINIMUM_VERSIONS: "refuse" }), runtime));

    expect(warned).toMatch(/^ok.*cannot enforce.*egressPublic.*disk limited by a watcher/);
    expect(warned).toContain("The kernel does not count swap.");
    expect(warned).toContain("EXECUTOR_DEFAULT_EGRESS=public");
    expect(warned).toContain("CVE-2024-21626");
    expect(refused).toMatch(/^FAIL {2}runtime: .*CVE-2024-21626/);
  });

  it("fail on a runtime that can't enforce limits, unless the administrator allows jobs without them", async () => {
    const { enforces } = await new HostProcessRuntime().describe();
    const limitsProblem = "The Docker engine can't enforce limits for pids. Restart it.";
    const lacking = { enforces: { ...enforces, cpu: true, memory: true }, limitsProblem, notes: [limitsProblem] };
    const runtime = async () => new DescribedRuntime(lacking);
    const refused = await report(checkRuntime(config({ EXECUTOR_UNENFORCED_LIMITS: "" }), runtime));
    const allowed = await report(checkRuntime(config({ EXECUTOR_UNENFORCED_LIMITS: "none" }), runtime));

    expect(refused).toMatch(
      /^FAIL {2}runtime: limits for pids can't be enforced here\n.*Restart it\. With EXECUTOR_UNENF/,
    );
    expect(allowed.split("\n").filter((line) => line.includes(limitsProblem))).toEqual([
      `note  runtime: Jobs run without limits for pids (EXECUTOR_UNENFORCED_LIMITS=none). ${limitsProblem}`,
    ]);
  });

  it("names why jobs with uploads go to other executors", async () => {
    const shown = await report(checkRuntime(config({}), async () => new HostProcessRuntime()));
    expect(shown).toMatch(/^note {2}runtime: Jobs with `upload` go to other executors\. Processes of the host/m);
  });

  it("show which proxy leads to each server, without the proxy's password", async () => {
    const env = {
      HTTPS_PROXY: "http://ci:s3cret@proxy.test:3128",
      NO_PROXY: "mirror.test",
      EXECUTOR_FRONTEND_URL: "https://airlock.test",
      EXECUTOR_GIT_LFS: "true",
      EXECUTOR_GIT_LFS_HOSTS: "lfs.test",
      EXECUTOR_DOCKER_REGISTRY_MIRROR_URL: "https://mirror.test",
    };
    const ways = await report(checkProxies(config(env)));
    class Named extends DescribedRuntime {
      override readonly name: string;
      constructor(name: string) {
        super({});
        this.name = name;
      }
    }
    const own = await report(checkRuntime(config(env), async () => new Named("oci")));
    const engine = await report(checkRuntime(config(env), async () => new Named("docker")));

    expect(ways).toMatch(/^ok {4}proxies: HTTPS_PROXY http:\/\/proxy\.test:3128$/m);
    expect(ways).toContain("the instance https://airlock.test: through the proxy http://proxy.test:3128 (HTTPS_PROXY)");
    expect(ways).toContain("Git LFS https://lfs.test: through the proxy");
    expect(own).toContain("registry https://registry-1.docker.io: through the proxy http://proxy.test:3128");
    expect(own).toContain("registry https://mirror.test: directly");
    expect(engine).toContain("The Docker engine pulls images by its own proxy settings");
    expect(ways + own + engine).not.toContain("s3cret");
    expect(await report(checkProxies(config()))).toBe("ok    proxies: none");
    expect(() => config({ https_proxy: "socks5://u:s3cret@p" })).toThrow(/ {2}- https_proxy is not a proxy with http/);
    expect(() => config({ https_proxy: "socks5://u:s3cret@p" })).not.toThrow(/s3cret/);
  });

  it("fail on certificates that can't be used", async () => {
    const file = join(dir, "ca.pem");
    await writeFile(file, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");

    expect(await report(checkCertificates(config({ NODE_EXTRA_CA_CERTS: file })))).toMatch(
      /FAIL[\s\S]*NODE_EXTRA_CA_CERTS/,
    );
    expect(await report(checkCertificates(config({ NODE_EXTRA_CA_CERTS: join(dir, "none") })))).toContain("FAIL");
    expect(await report(checkCertificates(config()))).toContain("ok");
  });

  it("fail on a credential helper that is not installed, and pass if it is", async () => {
    await mkdir(join(dir, "docker"));
    await writeFile(
      join(dir, "docker", "config.json"),
      JSON.stringify({ credHelpers: { "r.example.com": "airlocktest" } }),
    );
    const missing = await report(checkRegistryCredentials(config()));
    const bin = await program("docker-credential-airlocktest", "{}");
    const found = await report(checkRegistryCredentials(config({ PATH: `${bin}${delimiter}${process.env.PATH}` })));

    expect(missing).toMatch(/FAIL[\s\S]*docker-credential-airlocktest is not on PATH[\s\S]*docker login/);
    expect(found).toContain("ok    registry credentials: none; helpers airlocktest");
  });

  it("fail on an instance that does not answer or refuses the secret", async () => {
    const closed = await report(checkInstance(config({ EXECUTOR_FRONTEND_URL: "http://127.0.0.1:9" })));
    const stranger = await report(checkInstance(config({ EXECUTOR_FRONTEND_PASSWORD: "another-secret" })));

    expect(closed).toMatch(/FAIL[\s\S]*EXECUTOR_FRONTEND_URL/);
    expect(stranger).toMatch(/FAIL[\s\S]*Set EXECUTOR_FRONTEND_PASSWORD/);
  });

  it("check a 2022 instance, which has no route for the check, with a heartbeat without jobs", async () => {
    await mkdir(join(dir, "data"));
    instance.intervene = ({ path, headers }) => {
      if (path.endsWith("/test/auth")) return { status: 404 };
      return headers.authorization?.includes("another-secret") ? { status: 401 } : undefined;
    };
    const good = await report(checkInstance(config()));
    const stranger = await report(checkInstance(config({ EXECUTOR_FRONTEND_PASSWORD: "another-secret" })));

    expect(good).toMatch(/^ok {4}instance: .* accepts the shared secret/);
    expect(stranger).toMatch(/FAIL[\s\S]*Set EXECUTOR_FRONTEND_PASSWORD/);
    const [ping] = instance.requests.filter(({ path }) => path.endsWith("/queue/default/heartbeat"));
    // The instance would list any other name as another executor.
    expect(ping?.body).toEqual({ executorName: await executorName(join(dir, "data")) });
  });

  it("fail on a queue that does not exist according to the instance", async () => {
    const server = createServer((_request, response) => {
      response.setHeader("x-airlock-unknown-queues", "no-such-queue");
      response.end("ok");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    stack.defer(() => void server.close());
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    const names = {
      EXECUTOR_FRONTEND_URL: url,
      EXECUTOR_QUEUE_NAME: "",
      EXECUTOR_QUEUE_NAMES: "default,no-such-queue",
    };

    expect(await report(checkInstance(config(names)))).toMatch(/FAIL[\s\S]*no queue no-such-queue[\s\S]*queue create/);
  });

  it("report a clock that differs from the instance's, in either direction", async () => {
    const behind = await report(checkInstance(config(), () => Date.now() - 3_500_000));
    const ahead = await report(checkInstance(config(), () => Date.now() + 3_600_000));

    expect(behind).toMatch(/^ok[\s\S]*note[\s\S]*clock is \d+m \d+s behind/);
    expect(ahead).toContain("ahead of");
    expect(await report(checkInstance(config()))).not.toContain("note");
  });
});
