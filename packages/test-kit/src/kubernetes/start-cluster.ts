import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { promisify } from "node:util";
import { startDaemon } from "../host/daemon.ts";
import { startEngineNetwork } from "../host/engine-network.ts";
import { removeCgroup } from "../host/remove-cgroup.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";
import { busyboxImage, dockerArchive, type FixtureImage } from "../images/fixture-images.ts";

/** What other processes need to use a running cluster. */
export interface ClusterAccess {
  /** Of an administrator. The API server is reachable from this machine. */
  readonly kubeconfigPath: string;
  /** This machine's address, as pods see it. */
  readonly hostAddress: string;
  /** Process id of the cluster's first process. */
  readonly initPid: number;
  /** The program that the cluster consists of. */
  readonly program: string;
}

export interface Cluster extends ClusterAccess, AsyncDisposable {
  /** The cgroup of all pods, as the name of a directory in each hierarchy. */
  readonly cgroup: string;
  /** Holds everything that the cluster writes. */
  readonly directory: string;
}

const startMs = 120_000;
const pauseImage = "localhost/airlock-pause:1";

/**
 * Starts a Kubernetes of one node in its own network, mount and PID namespaces. Needs root. Everything in it ends with its
 * first process, which ends with this process.
 * @throws {Error} with the reason of the component that failed.
 */
export async function startCluster(program: string): Promise<Cluster> {
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-k-")).path;
  const cgroup = basename(directory);
  cleanup.defer(() => removeCgroup(cgroup));
  const network = cleanup.use(await startEngineNetwork(directory));
  await promisify(execFile)("nsenter", [
    `--net=${network.namespacePath}`,
    ...["ip", "route", "add", "default", "via", network.hostAddress],
  ]);
  const pausePath = join(directory, "pause.tar");
  // The sandbox container only has to exist. containerd ends it with SIGKILL.
  const pause = await busyboxImage({ Entrypoint: ["/bin/sleep", "2147483647"] });
  await writeFile(pausePath, await dockerArchive(pause, pauseImage));
  await mkdir(join(directory, "registries"));

  const daemon = cleanup.use(
    await startDaemon({
      command: "nsenter",
      args: [
        `--net=${network.namespacePath}`,
        ...["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child", "--mount-proc"],
        ...[program, "cluster", "--directory", directory, "--cgroup", cgroup],
        ...["--node-address", network.engineAddress, "--gateway", network.hostAddress],
        ...["--pause-image", pauseImage, "--images", pausePath],
      ],
      logPath: join(directory, "cluster.log"),
      stopBy: "end-of-input",
    }),
  );
  await daemon.ready(async () => (/^ready$/m.test(await daemon.log()) ? true : undefined), startMs);
  const children = await readFile(`/proc/${daemon.pid}/task/${daemon.pid}/children`, "utf8");

  const owned = cleanup.move();
  return {
    kubeconfigPath: join(directory, "admin.kubeconfig"),
    hostAddress: network.hostAddress,
    initPid: Number.parseInt(children, 10),
    program,
    cgroup,
    directory,
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** Adds an image to the cluster's node under this reference. No registry is involved. */
export async function importImage(cluster: ClusterAccess, image: FixtureImage, reference: string): Promise<void> {
  await importArchive(cluster, Readable.from([await dockerArchive(image, reference)]));
}

/** Adds the images of an archive to the cluster's node: an OCI layout, or as `docker save` writes it. */
export async function importArchive({ initPid }: ClusterAccess, archive: Readable): Promise<void> {
  const ctr = ["ctr", "--address", "/run/containerd/containerd.sock", "--namespace", "k8s.io", "images", "import", "-"];
  const child = spawn("nsenter", [`--target=${initPid}`, "--mount", "--pid", "--", ...ctr], {
    stdio: ["pipe", "ignore", "pipe"],
  });
  const closed = once(child, "close");
  const said: Buffer[] = [];
  child.stderr.on("data", (bytes: Buffer) => said.push(bytes));
  // A program that ended early breaks the pipe; its exit code reports the fault.
  await pipeline(archive, child.stdin).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "ERR_STREAM_PREMATURE_CLOSE") throw error;
  });
  const [code] = (await closed) as [number | null];
  if (code !== 0) throw new Error(`the node can't import the image: ${Buffer.concat(said).toString()}`);
}

/** Lets the cluster's node use the registry at this address without TLS. */
export async function trustRegistry({ kubeconfigPath }: ClusterAccess, address: string): Promise<void> {
  const directory = join(dirname(kubeconfigPath), "registries", address);
  await mkdir(directory, { recursive: true });
  const url = JSON.stringify(`http://${address}`);
  await writeFile(
    join(directory, "hosts.toml"),
    `server = ${url}\n[host.${url}]\ncapabilities = ["pull", "resolve"]\n`,
  );
}

/** Runs `kubectl` as the cluster's administrator and returns its output. */
export async function kubectl(cluster: ClusterAccess, ...words: readonly string[]): Promise<string> {
  const { program, kubeconfigPath } = cluster;
  const { stdout } = await promisify(execFile)(program, ["kubectl", `--kubeconfig=${kubeconfigPath}`, ...words]);
  return stdout;
}
