import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import {
  busyboxImage,
  describeWithEngines,
  dockerArchive,
  type Finished,
  openWorkplace,
  temporaryDirectory,
  type Workplace,
} from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { publicIpv4, startTestNetwork, type TestNetwork } from "../../egress/testing/test-network.ts";
import { findCgroupHost } from "../../host/cgroups/cgroup-host.ts";
import { createMicrovmRuntime, type MicrovmRuntime } from "../microvm-runtime.ts";
import { brokenDockerDisk, testDockerDiskFor } from "../testing/test-docker-disk.ts";
import { testGuest, testQemuMonitor } from "../testing/test-guest.ts";
import type { DockerDisk } from "./docker-disk.ts";

const { signal } = new AbortController();
const usual = `docker-${process.pid}`;
const image = "fixture:1";
const unprivileged = "unprivileged:1";
const limits = { cpus: 1, memoryBytes: 768 * 2 ** 20, pids: 400, diskBytes: 192 * 2 ** 20 };
const proxy = "http://proxy.example.com:3128";
const ok: Finished["status"] = { kind: "exited", exitCode: 0 };

// One guest serves all tests but the last, because a daemon takes long to start under emulation.
describeWithEngines(["microvm", "network"], "Docker in a virtual machine", () => {
  const cleanup = new AsyncDisposableStack();
  let network: TestNetwork;
  let directory: string;
  let place: Workplace;

  const open = async (docker: DockerDisk, owner: string): Promise<MicrovmRuntime> => {
    const monitor = await testQemuMonitor({ owner });
    return await createMicrovmRuntime({
      stateDir: directory,
      guest: await testGuest(),
      docker,
      monitorFor: (name) => monitor.of(name),
      cgroupHost: await findCgroupHost(),
      egress: { networkNamespace: network.hostPath, upstreams: [] },
    });
  };

  beforeAll(async () => {
    network = cleanup.use(await startTestNetwork());
    directory = cleanup.use(await temporaryDirectory("d-")).path;
    // The users of virtual machines pass through.
    await chmod(directory, 0o711);
    const runtime = await open(await testDockerDiskFor(directory), usual);
    cleanup.defer(() => runtime.close());
    expect((await runtime.describe({ signal })).dockerProblem).toBeNull();
    for (const [name, config] of [
      [image, {}],
      [unprivileged, { User: "1000:1000" }],
    ] as const) {
      const archive = join(directory, "image.tar");
      await writeFile(archive, await dockerArchive(await busyboxImage(config), name));
      await runtime.loadImages(archive, { signal });
    }
    const dockerDaemon = {
      registryMirrors: ["https://mirror.example.com:5000", "http://192.0.2.1"],
      environment: { HTTPS_PROXY: proxy, SSL_CERT_FILE: "/airlock/authorities.pem" },
    };
    const authorities = { path: "authorities.pem", content: "of the administrator\n", executable: false };
    const workspace = { readOnlyFiles: [authorities] };
    const egress = { kind: "public" } as const;
    const waits: string[] = [];
    const onWait = (reason: string) => void waits.push(reason);
    const options = { owner: usual, image, limits, workspace, egress, docker: true, dockerDaemon, onWait };
    place = cleanup.use(await openWorkplace(runtime, options));
    expect(waits[0]).toBe("the job's Docker daemon is starting");
    await place.put("inner.tar", await dockerArchive(await busyboxImage(), "inner:1"));
    expect(await place.run("docker load --quiet --input inner.tar")).toMatchObject({ status: ok });
  }, 600_000);
  afterAll(() => cleanup.disposeAsync(), 60_000);

  it("runs containers for steps of any user, with the workspace, and passes on how they end", async () => {
    const { status, stdout } = await place.run(
      `own() { stat -c '%u %n' made; }; trap own EXIT
       docker run --rm --volume "$PWD":/w --volume /airlock/authorities.pem:/authorities.pem:ro inner:1 sh -c '
         echo "hello from $(hostname)"; cat /authorities.pem; echo made >/w/made; exit 7'`,
      { image: unprivileged },
    );
    expect(status).toEqual({ kind: "exited", exitCode: 7 });
    // What root of a container writes belongs to the user of the step.
    expect(stdout).toMatch(/^hello from [0-9a-f]{12}\nof the administrator\n1000 made\n$/);
    expect(await place.read("made")).toBe("made\n");
  }, 600_000);

  it("is the guest's own, with the guest's kernel, and found where programs look for it", async () => {
    const { status, stdout } = await place.run(`
      echo "$DOCKER_HOST" "$(uname -r)"
      unset DOCKER_HOST
      docker info --format '{{ .KernelVersion }} {{ .Driver }} {{ .Containers }} {{ .Images }} {{ .HTTPSProxy }}
        {{- .RegistryConfig.Mirrors }}'
    `);
    const [found = "", info] = stdout.trimEnd().split("\n");
    const [socket, kernel] = found.split(" ");
    expect({ status, socket, info }).toEqual({
      status: ok,
      socket: "unix:///airlock/docker.sock",
      info: `${kernel} overlay2 0 1 ${proxy}[https://mirror.example.com:5000/ http://192.0.2.1/]`,
    });
  }, 600_000);

  it("keeps containers for later steps, which reach their ports", async () => {
    const serve = "mkdir /www; echo served >/www/index.html; exec httpd -f -h /www";
    const { status } = await place.run(`docker run --detach --publish 8080:80 inner:1 sh -c '${serve}'`);
    const { stdout } = await place.run(
      "for i in $(seq 100); do wget -q -O - http://127.0.0.1:8080/ 2>/dev/null && break; sleep 0.2; done",
    );
    expect({ status, stdout }).toEqual({ status: ok, stdout: "served\n" });
  }, 600_000);

  it("has privileged containers behind the job's egress policy and within the job's disk limit", async () => {
    await network.internet.ask({ op: "arrivals" });
    const { stdout } = await place.run(`docker run --rm --privileged inner:1 sh -c '
      nc -w 5 ${publicIpv4} 443 </dev/null >/dev/null && echo reached
      for closed in 169.254.169.254 10.99.0.2 192.168.77.2; do
        nc -w 2 $closed 80 </dev/null >/dev/null 2>&1 && echo "opened $closed"
      done
      dd if=/dev/zero of=/big bs=1M count=400 2>&1 | grep -c "No space"'`);
    expect(stdout).toBe("reached\n1\n");
    expect(await network.internet.ask({ op: "arrivals" })).toEqual([`tcp ${publicIpv4} <- 192.168.77.2`]);
  }, 600_000);

  it("ends with the job's steps", async () => {
    await place.sandbox.stop({ signal });
    expect(await place.read("made")).toBe("made\n");
  }, 120_000);

  it("that does not start fails the job with the end of its log, and leaves nothing behind", async () => {
    const script = "echo 'no such storage driver: broken' >&2; exit 3";
    // Executors that run at the same time have different owners, too.
    const owner = `broken-${process.pid}`;
    const runtime = await open(await brokenDockerDisk(directory, script), owner);
    try {
      const opening = openWorkplace(runtime, { owner, image, limits, docker: true });
      await expect(opening).rejects.toMatchObject({
        reason: "runtime",
        message: expect.stringMatching(
          /Docker daemon .* did not start: .*no such storage driver: broken\ncontainerd exited with 3$/s,
        ),
      });
      expect(await runtime.collect({ owner, keep: new Set(), signal })).toMatchObject({ sandboxes: 0 });
    } finally {
      await runtime.close();
    }
  }, 600_000);
});
