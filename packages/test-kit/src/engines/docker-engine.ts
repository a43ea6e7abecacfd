import { chmod, mkdir, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { basename, join } from "node:path";
import { type Daemon, startDaemon } from "../host/daemon.ts";
import type { EngineNetwork } from "../host/engine-network.ts";
import { findExecutable } from "../host/find-executable.ts";
import { removeCgroup } from "../host/remove-cgroup.ts";
import { temporaryDirectory } from "../host/temporary-directory.ts";

export interface DockerEngine extends AsyncDisposable {
  readonly socketPath: string;
  /** Path for `nsenter --net=`. */
  readonly networkNamespace: string;
}

/**
 * The daemon runs in its own namespaces. Everything that it started or mounted (containerd, shims, containers,
 * overlays) ends with the first process of its pid namespace, even if the tests crash. `/run/containerd` is hidden, so
 * that the daemon starts its own containerd instead of using the machine's. The end of stdin stops it.
 */
const init = `
[ -z "$SUBORDINATE_IDS" ] || for file in /etc/subuid /etc/subgid; do mount --bind "$SUBORDINATE_IDS" $file || exit 1; done
for controller in $HIDDEN_CONTROLLERS; do
  if [ -d "/sys/fs/cgroup/$controller" ]; then umount -l "/sys/fs/cgroup/$controller" || exit 1
  else
    sed "s/\\b$controller\\b//" /sys/fs/cgroup/cgroup.controllers >"$ENGINE_DIRECTORY/$controller" || exit 1
    mount --bind "$ENGINE_DIRECTORY/$controller" /sys/fs/cgroup/cgroup.controllers || exit 1
  fi
done
mkdir -p /run/containerd && mount -t tmpfs -o mode=0711 tmpfs /run/containerd || exit 1
"$@" </dev/null & daemon=$!
exec 3<&0
(cat <&3 >/dev/null; kill -TERM $daemon) &
wait $daemon
`;

export interface DockerEngineOptions {
  /** Content of `daemon.json`. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Whether its containers' root is mapped to user 100000 of the machine. */
  readonly remapUsers?: boolean;
  /** Cgroup controllers that the engine doesn't see, so that it can't enforce their limits. */
  readonly hiddenControllers?: readonly ("cpu" | "pids")[];
}

/** An account that exists on every machine. The engine needs a name to look up the subordinate ids. */
const remapAccount = "daemon";
const remappedRootId = 100_000;

/** Starts a private Docker daemon. Needs root and the package docker.io. */
export async function startDockerEngine(
  network: EngineNetwork,
  { config = {}, remapUsers = false, hiddenControllers = [] }: DockerEngineOptions = {},
): Promise<DockerEngine> {
  const dockerd = findExecutable("dockerd");
  if (!dockerd) throw new Error("not installed: apt-get install -y docker.io iptables");
  await using cleanup = new AsyncDisposableStack();
  const directory = cleanup.use(await temporaryDirectory("airlock-d-")).path;
  const cgroup = basename(directory);
  cleanup.defer(() => removeCgroup(cgroup));
  const socketPath = join(directory, "docker.sock");
  await mkdir(join(directory, "data"), { mode: 0o711 });
  // The mapped root of its containers has to traverse this directory to reach their files.
  if (remapUsers) await chmod(directory, 0o711);
  const remap = remapUsers ? { "userns-remap": remapAccount } : {};
  await writeFile(join(directory, "daemon.json"), JSON.stringify({ ...config, ...remap }));
  const subordinateIds = join(directory, "subordinate-ids");
  await writeFile(subordinateIds, `${remapAccount}:${remappedRootId}:65536\n`);

  const daemon = cleanup.use(
    await startDaemon({
      command: "nsenter",
      args: [
        `--net=${network.namespacePath}`,
        ...["unshare", "--mount", "--propagation=slave", "--pid", "--fork", "--kill-child", "--mount-proc"],
        ...["sh", "-c", init, "sh", dockerd],
        ...["--config-file", join(directory, "daemon.json"), "--host", `unix://${socketPath}`],
        ...["--data-root", join(directory, "data"), "--exec-root", join(directory, "exec")],
        ...["--pidfile", join(directory, "docker.pid"), "--cgroup-parent", `/${cgroup}`],
        ...["--insecure-registry", network.subnet, "--shutdown-timeout", "2", "--log-level", "warn"],
      ],
      logPath: join(directory, "dockerd.log"),
      env: {
        SUBORDINATE_IDS: remapUsers ? subordinateIds : "",
        HIDDEN_CONTROLLERS: hiddenControllers.join(" "),
        ENGINE_DIRECTORY: directory,
      },
      stopBy: "end-of-input",
    }),
  );
  await untilAnswering(daemon, socketPath);

  const owned = cleanup.move();
  return { socketPath, networkNamespace: network.namespacePath, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

async function untilAnswering(daemon: Daemon, socketPath: string): Promise<void> {
  await daemon.ready(
    () =>
      new Promise<true | undefined>((resolve) => {
        const ping = request({ socketPath, path: "/_ping", timeout: 2000 }, (response) => {
          response.resume();
          resolve(response.statusCode === 200 ? true : undefined);
        });
        ping.on("timeout", () => ping.destroy());
        ping.on("error", () => resolve(undefined));
        ping.end();
      }),
    60_000,
  );
}
