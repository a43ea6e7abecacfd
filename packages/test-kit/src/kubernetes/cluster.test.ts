import { readdirSync, readFileSync } from "node:fs";
import { networkInterfaces } from "node:os";
import { basename } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { describeWithEngines } from "../engines/engines.ts";
import { clusterHookMs, kubernetesCluster } from "../engines/kubernetes-cluster.ts";
import { commandLines } from "../host/command-lines.ts";
import { busyboxImage } from "../images/fixture-images.ts";
import { type ClusterAccess, importImage, kubectl, startCluster } from "./start-cluster.ts";

const image = "localhost/airlock-cluster-test:1";

describeWithEngines(["kubernetes"], "the Kubernetes engine", () => {
  let shared: ClusterAccess;
  beforeAll(async () => {
    shared = await kubernetesCluster();
  }, clusterHookMs);

  it("runs a pod of an image that was imported", async () => {
    await importImage(shared, await busyboxImage(), image);
    await runPod(shared, "hello", "echo from-the-pod; exit 0");

    expect(await kubectl(shared, "logs", "hello")).toBe("from-the-pod\n");
  });

  it("leaves nothing on the machine", async () => {
    const before = machine();
    let directory = "";
    {
      await using cluster = await startCluster(shared.program);
      directory = cluster.directory;
      await importImage(cluster, await busyboxImage(), image);
      await kubectl(cluster, "run", "sleeper", `--image=${image}`, "--", "sleep", "1000");
      await kubectl(cluster, "wait", "--for=condition=Ready", "pod/sleeper", "--timeout=60s");
      expect(leftovers(directory).length).toBeGreaterThan(5);
    }

    expect(leftovers(directory)).toEqual([]);
    expect(machine()).toEqual(before);
  });
});

/** Runs a pod to its successful end. */
async function runPod(cluster: ClusterAccess, name: string, script: string): Promise<void> {
  await kubectl(cluster, "run", name, `--image=${image}`, "--restart=Never", "--", "sh", "-c", script);
  await kubectl(cluster, "wait", "--for=jsonpath={.status.phase}=Succeeded", `pod/${name}`, "--timeout=60s");
}

/** What belongs to the cluster with this directory: processes, mounts, cgroups. */
function leftovers(directory: string): readonly string[] {
  return [
    ...commandLines().filter((line) => line.includes(directory)),
    ...readFileSync("/proc/mounts", "utf8")
      .split("\n")
      .filter((line) => line.includes(directory)),
    ...readdirSync("/sys/fs/cgroup")
      .flatMap((name) => [`/sys/fs/cgroup/${name}`, `/sys/fs/cgroup/${name}/${basename(directory)}`])
      .filter((path) => basename(path) === basename(directory) && exists(path)),
    ...(exists(directory) ? [directory] : []),
  ];
}

/** Parts of the machine that a node of Kubernetes usually changes. */
function machine() {
  const settings = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
  ];
  return {
    settings: settings.map((name) => readFileSync(`/proc/sys/${name}`, "utf8")),
    directories: [
      "/var/lib/kubelet",
      "/var/lib/cni",
      "/var/log/pods",
      "/var/log/containers",
      "/run/containerd/s",
    ].filter(exists),
    links: Object.keys(networkInterfaces()).filter((name) => !name.startsWith("al")),
  };
}

function exists(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOENT";
  }
}
