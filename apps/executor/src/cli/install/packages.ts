/** What jobs need on the host, and the Debian or Ubuntu package that contains it. */
export type HostPackage =
  | { readonly name: string; readonly program: string }
  /** A program without libraries, which the package of the same program with libraries does not replace. */
  | { readonly name: string; readonly staticProgram: string }
  /** Absolute path of a file, for packages without a program. */
  | { readonly name: string; readonly file: string };

const git: HostPackage = { name: "git", program: "git" };
const crun: HostPackage = { name: "crun", program: "crun" };
const nftables: HostPackage = { name: "nftables", program: "nft" };
const utilLinux: HostPackage = { name: "util-linux", program: "unshare" };
const e2fsprogs: HostPackage = { name: "e2fsprogs", program: "mkfs.ext4" };

/** The packages of each target of `install` that only installs packages. */
export const targets: Readonly<Record<string, readonly HostPackage[]>> = {
  all: [
    git,
    crun,
    nftables,
    { name: "iproute2", program: "ip" },
    { name: "conntrack", program: "conntrack" },
    utilLinux,
    e2fsprogs,
  ],
  git: [git],
  crun: [crun],
  runc: [{ name: "runc", program: "runc" }],
  nftables: [nftables],
};

/** The target that also makes the files of virtual machines' guests. */
export const microvmTarget = "microvm";

/** What runs virtual machines and makes their disks. */
export const microvmPackages: readonly HostPackage[] = [
  { name: "qemu-system-x86", program: "qemu-system-x86_64" },
  nftables,
  { name: "iproute2", program: "ip" },
  utilLinux,
  e2fsprogs,
  { name: "busybox-static", staticProgram: "busybox" },
];

/** What compiles the guest's agent and unpacks its kernel. */
export const guestBuildPackages: readonly HostPackage[] = [
  { name: "musl-tools", program: "musl-gcc" },
  { name: "linux-libc-dev", file: "/usr/include/linux/seccomp.h" },
  { name: "xz-utils", program: "xz" },
  { name: "lz4", program: "lz4" },
  { name: "zstd", program: "zstd" },
];

/** Targets of the protocol that this executor does not need, each with the reason. */
export const notNeeded: Readonly<Record<string, string>> = {
  "src-cli": "src-cli is not needed: this executor does not run src steps.",
  "iptables-rules":
    "iptables rules are not needed: the executor creates the rules of each job's network itself, with nftables.",
};

/** Targets of the protocol that this executor does without, each with the next step. */
export const refused: Readonly<Record<string, string>> = {
  ignite: "this executor does not use ignite: executor install microvm installs what virtual machines need",
  cni: "this executor does not use CNI plugins: executor install nftables installs what networks of jobs need",
  image:
    "this executor does not use images of virtual machines: executor install microvm installs the guest's kernel, and executor image load loads images of steps",
};
