import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { copyDebianFiles } from "./debian-files.ts";
import { FileTree, imageUser } from "./file-tree.ts";

/** Debian packages with the programs of {@link dockerPrograms}. */
const packages = "docker.io iptables iproute2 nftables conntrack util-linux xz-utils procps rootlesskit uidmap";

/**
 * The Docker daemon with everything that it runs, what the executor sets the rules of networks with, and what the rootless
 * daemon needs.
 */
const dockerPrograms = [
  ...["/usr/sbin/dockerd", "/usr/bin/docker-init", "/usr/bin/containerd", "/usr/bin/containerd-shim-runc-v2"],
  ...["/usr/sbin/runc", "/usr/bin/unxz", "/usr/bin/tar"],
  ...["/usr/sbin/xtables-nft-multi", "/usr/sbin/xtables-legacy-multi", "/usr/bin/ip"],
  ...["/usr/sbin/nft", "/usr/sbin/conntrack", "/usr/bin/nsenter", "/usr/bin/unshare", "/usr/bin/prlimit"],
  ...["/usr/bin/mount", "/usr/bin/umount", "/usr/bin/sed", "/usr/bin/grep", "/usr/bin/ps"],
  ...["/usr/bin/rootlesskit", "/usr/bin/rootlesskit-docker-proxy"],
];

/** Programs of scripts, of the executor and of {@link dindLayer}. */
const coreutils =
  "cat chmod chown cut dd head ln ls mkdir mkfifo mknod mv rm rmdir sleep sort stat tail test touch tr true"
    .split(" ")
    .map((name) => `/usr/bin/${name}`);

/** They get their rights from the file's mode. */
const setuidPrograms = ["/usr/bin/newuidmap", "/usr/bin/newgidmap"];

/** Users of containers on the node: with the plain daemon, and with the rootless one. */
const subordinateIds = "airlock:100000:65536\n";

/**
 * The Docker engine of a pod, as a layer on top of the executor's.
 * @throws {Error} that says what is not installed.
 */
export async function dindLayer(dist: string) {
  const programs = [...dockerPrograms, ...coreutils, ...setuidPrograms];
  const missing = programs.filter((program) => !existsSync(program));
  if (missing.length > 0) {
    throw new Error(`not on this machine: ${missing.join(", ")}. Install them: apt-get install -y ${packages}`);
  }
  const tree = new FileTree();
  const debian = await copyDebianFiles(tree, programs);
  for (const program of setuidPrograms) tree.file(program, await readFile(program), 0o4755);
  for (const name of ["iptables", "iptables-save", "iptables-restore", "ip6tables"]) {
    tree.link(`/usr/sbin/${name}`, "xtables-nft-multi");
    tree.link(`/usr/sbin/${name.replace("tables", "tables-legacy")}`, "xtables-legacy-multi");
  }
  // iptables loads its matches and targets from here.
  await tree.copyTree(xtables, xtables);
  await tree.copy("/usr/lib/os-release");
  // A native library, with which the executor enters the networks of containers.
  const native = path.join(dist, "node_modules");
  if (existsSync(native)) await tree.copyTree(native, "/opt/airlock/node_modules");
  for (const file of ["/etc/subuid", "/etc/subgid"]) tree.file(file, subordinateIds);
  for (const name of ["start-daemon.sh", "ping-daemon.mjs"]) {
    tree.file(`/usr/bin/${path.parse(name).name}`, await readFile(path.join(import.meta.dirname, "dind", name)), 0o755);
  }
  for (const name of ["/run", "/var/lib/docker", "/docker-socket"]) tree.directory(name);
  tree.directory("/var/tmp", { mode: 0o1777 });
  tree.directory("/home/airlock", { user: imageUser });
  return { tree, debian };
}

const xtables = `/usr/lib/${process.arch === "x64" ? "x86_64" : "aarch64"}-linux-gnu/xtables`;
