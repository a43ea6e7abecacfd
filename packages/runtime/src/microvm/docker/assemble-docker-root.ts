import { chmod, mkdir, readdir, readFile, rm, symlink, utimes, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { outputOf, systemEnvironment } from "@airlock/process";
import { runtimeFailed } from "../../contract/errors.ts";
import { extractKernelPackage } from "../guest/build/extract-kernel-package.ts";
import { moduleFiles } from "../guest/build/module-files.ts";
import type { PackageFile } from "./debian-packages.ts";

/** What dockerd and the rules of its networks need of the kernel. Nothing in the guest loads a module on demand. */
const modules = [
  "overlay",
  "bridge",
  "br_netfilter",
  "veth",
  "macvlan",
  "vxlan",
  "tun",
  "fuse",
  "nf_tables",
  "nft_compat",
  "nft_chain_nat",
  "nft_ct",
  "nft_nat",
  "nft_masq",
  "nft_log",
  "nft_reject_ipv4",
  "nft_reject_ipv6",
  "nf_conntrack_netlink",
  "xt_MASQUERADE",
  "xt_REDIRECT",
  "xt_LOG",
  "xt_addrtype",
  "xt_comment",
  "xt_conntrack",
  "xt_limit",
  "xt_mark",
  "xt_multiport",
  "xt_nat",
  "xt_state",
  "xt_statistic",
  "xt_tcpudp",
  "ipt_REJECT",
  "ip6t_REJECT",
];

/** Directory of the client in the root. Steps get it in their `PATH`. */
export const clientDirectory = "client";

/** Where the agent mounts. */
const mountPoints = ["proc", "sys", "dev", "run", "data", "tmp", "root", "var/lib/docker"];
/** Directories of packages that are of no use to a daemon. */
const unused = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/lintian", "usr/share/bug"];
const links: readonly (readonly [path: string, target: string])[] = [
  ["bin", "usr/bin"],
  ["sbin", "usr/sbin"],
  ["lib", "usr/lib"],
  ["lib64", "usr/lib64"],
  ["var/run", "/run"],
  ["etc/resolv.conf", "/run/resolv.conf"],
  ["etc/mtab", "/proc/self/mounts"],
];
const alternatives = [
  "iptables",
  "iptables-save",
  "iptables-restore",
  "ip6tables",
  "ip6tables-save",
  "ip6tables-restore",
];
/** Without what dockerd does not use, because each plugin makes the start slower. */
const containerdSettings = `version = 2
root = "/var/lib/docker/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.grpc.v1.cri",
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
]
`;
/** The time of files that no package has. */
const epoch = new Date(0);
const extractMs = 120_000;

/** What decides, beside the packages, what the root contains. */
export const dockerRootParts = {
  modules,
  containerdSettings,
  mountPoints,
  unused,
  links,
  alternatives,
  clientDirectory,
};

/**
 * Assembles the daemon's root from packages, without running their scripts.
 * @throws {AirlockError} reason `runtime` when a package lacks what the daemon needs.
 */
export async function assembleDockerRoot(
  root: string,
  parts: { readonly packages: readonly PackageFile[]; readonly kernelPackage: string; readonly signal: AbortSignal },
): Promise<void> {
  const { packages, kernelPackage, signal } = parts;
  const run = (command: readonly string[]) =>
    outputOf(command, { env: systemEnvironment, signal, timeoutMs: extractMs });
  for (const { path } of packages) await run(["dpkg-deb", "--extract", path, root]);
  // Newer packages have these files below /usr already.
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    const [from, to] = [join(root, name), join(root, "usr", name)];
    await mkdir(from, { recursive: true });
    await mkdir(to, { recursive: true });
    await run(["cp", "--archive", `${from}/.`, to]);
    await rm(from, { recursive: true });
  }
  for (const directory of ["etc", "var", ...mountPoints]) await mkdir(join(root, directory), { recursive: true });
  for (const [path, target] of links) {
    await rm(join(root, path), { recursive: true, force: true });
    await symlink(target, join(root, path));
  }
  for (const directory of unused) await rm(join(root, directory), { recursive: true, force: true });
  const programs = await readdir(join(root, "usr/sbin"));
  if (!programs.includes("xtables-nft-multi")) throw runtimeFailed("the package iptables lacks xtables-nft-multi");
  for (const name of alternatives) {
    await rm(join(root, "usr/sbin", name), { force: true });
    await symlink("xtables-nft-multi", join(root, "usr/sbin", name));
  }
  await writeText(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
  await writeText(root, "etc/group", "root:x:0:\ntty:x:5:\ndocker:x:999:\n");
  await writeText(root, "etc/hosts", "127.0.0.1 localhost\n::1 localhost\n");
  await writeText(root, "etc/containerd/config.toml", containerdSettings);
  await writeCertificates(root);
  await writeClient(root);
  await writeModules(root, kernelPackage, signal);
}

/** The package's script would write this file. */
async function writeCertificates(root: string): Promise<void> {
  const directory = join(root, "usr/share/ca-certificates");
  const names = await readdir(directory, { recursive: true }).catch(() => []);
  const certificates = names.filter((name) => name.endsWith(".crt")).sort();
  const texts = await Promise.all(certificates.map(async (name) => await readFile(join(directory, name), "utf8")));
  if (texts.length === 0) throw runtimeFailed("the package ca-certificates has no certificates");
  await writeText(root, "etc/ssl/certs/ca-certificates.crt", texts.join(""));
}

/** Images of steps may lack the client's libraries, so a script starts it with those of the disk. */
async function writeClient(root: string): Promise<void> {
  const libraries = await readdir(join(root, "usr/lib"));
  const triplet = libraries.find((name) => name.endsWith("-linux-gnu"));
  if (triplet === undefined) throw runtimeFailed("the packages of Docker have no C library");
  const loader = (await readdir(join(root, "usr/lib", triplet))).find((name) => /^ld-linux-.*\.so\.\d$/.test(name));
  if (loader === undefined) throw runtimeFailed("the packages of Docker have no dynamic loader");
  if (!(await readdir(join(root, "usr/bin"))).includes("docker")) {
    throw runtimeFailed("the packages of Docker have no client");
  }
  const disk = "/airlock/docker";
  const paths = `${disk}/usr/lib/${triplet}`;
  const script = `#!/bin/sh\nexec ${paths}/${loader} --library-path ${paths} ${disk}/usr/bin/docker "$@"\n`;
  await writeText(root, `${clientDirectory}/docker`, script, 0o755);
}

async function writeModules(root: string, kernelPackage: string, signal: AbortSignal): Promise<void> {
  const scratch = `${root}-kernel`;
  try {
    const { modulesDirectory } = await extractKernelPackage(kernelPackage, scratch, signal);
    const loaded = await moduleFiles(modules, modulesDirectory);
    for (const { name, content } of loaded) await writeText(root, `modules/${name}.ko`, content);
    await writeText(root, "modules/list", loaded.map(({ name }) => `${name}.ko\n`).join(""));
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
}

async function writeText(root: string, path: string, content: string | Buffer, mode = 0o644): Promise<void> {
  const file = join(root, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, content);
  await chmod(file, mode);
  await utimes(file, epoch, epoch);
}
