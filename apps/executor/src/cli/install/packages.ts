/** A program that jobs need on the host, and the Debian or Ubuntu package that contains it. */
export interface HostPackage {
  readonly name: string;
  readonly program: string;
}

const git: HostPackage = { name: "git", program: "git" };
const crun: HostPackage = { name: "crun", program: "crun" };
const nftables: HostPackage = { name: "nftables", program: "nft" };

/** The packages of each target of `install`. */
export const targets: Readonly<Record<string, readonly HostPackage[]>> = {
  all: [
    git,
    crun,
    nftables,
    { name: "iproute2", program: "ip" },
    { name: "conntrack", program: "conntrack" },
    { name: "util-linux", program: "unshare" },
    { name: "e2fsprogs", program: "mkfs.ext4" },
  ],
  git: [git],
  crun: [crun],
  runc: [{ name: "runc", program: "runc" }],
  nftables: [nftables],
};

/** Targets of the protocol that this executor does not need, each with the reason. */
export const notNeeded: Readonly<Record<string, string>> = {
  "src-cli": "src-cli is not needed: this executor does not run src steps.",
  "iptables-rules":
    "iptables rules are not needed: the executor creates the rules of each job's network itself, with nftables.",
};

/** Targets of the protocol for runtimes that this executor does not have, each with the next step. */
export const refused: Readonly<Record<string, string>> = {
  ignite: "ignite belongs to the Firecracker runtime, which this executor does not support; try executor install crun",
  cni: "CNI plugins belong to the Firecracker runtime, which this executor does not support; try executor install nftables",
  image:
    "images of virtual machines belong to the Firecracker runtime, which this executor does not support; to load images of steps, see executor image load",
};
