// `npm test`: installs the engines that the suites need if it may, runs all tests, and prints a summary.

import { run, tool } from "./programs/run.ts";
import { canInstall, installPackages, missingPackages, type SystemPackage } from "./programs/system-packages.ts";

const enginePackages: readonly SystemPackage[] = [
  { name: "docker.io", paths: ["/usr/sbin/dockerd", "/usr/bin/dockerd"] },
  { name: "crun", paths: ["/usr/bin/crun"] },
  { name: "runc", paths: ["/usr/sbin/runc", "/usr/bin/runc"] },
  { name: "runsc", paths: ["/usr/bin/runsc"] },
  { name: "docker-registry", paths: ["/usr/bin/docker-registry"] },
  { name: "postgresql", paths: ["/usr/lib/postgresql"] },
  { name: "python3-swift", paths: ["/usr/lib/python3/dist-packages/swift"] },
  { name: "chromium", paths: ["/usr/bin/chromium"] },
  { name: "iproute2", paths: ["/usr/sbin/ip", "/sbin/ip"] },
  { name: "nftables", paths: ["/usr/sbin/nft", "/sbin/nft"] },
  { name: "conntrack", paths: ["/usr/sbin/conntrack"] },
  { name: "iptables", paths: ["/usr/sbin/iptables"] },
  { name: "busybox-static", paths: ["/usr/share/doc/busybox-static"] },
  { name: "git", paths: ["/usr/bin/git"] },
  { name: "debootstrap", paths: ["/usr/sbin/debootstrap"] },
  { name: "e2fsprogs", paths: ["/usr/sbin/mke2fs", "/sbin/mke2fs"] },
  { name: "musl-tools", paths: ["/usr/bin/musl-gcc"] },
  { name: "zsh", paths: ["/bin/zsh"] },
  { name: "fish", paths: ["/usr/bin/fish"] },
  { name: "qemu-system-x86", paths: ["/usr/bin/qemu-system-x86_64"] },
  { name: "squashfs-tools", paths: ["/usr/bin/mksquashfs"] },
  { name: "erofs-utils", paths: ["/usr/bin/mkfs.erofs"] },
  { name: "lz4", paths: ["/usr/bin/lz4"] },
  { name: "xz-utils", paths: ["/usr/bin/xz"] },
  { name: "libc6-dev", paths: ["/usr/share/doc/libc6-dev"] },
  { name: "containerd", paths: ["/usr/bin/containerd"] },
  { name: "containernetworking-plugins", paths: ["/usr/lib/cni/ptp"] },
  { name: "procps", paths: ["/usr/bin/ps", "/bin/ps"] },
  { name: "rootlesskit", paths: ["/usr/bin/rootlesskit"] },
  { name: "uidmap", paths: ["/usr/bin/newuidmap"] },
  { name: "ipset", paths: ["/usr/sbin/ipset", "/sbin/ipset"] },
  // Gets Go for the test cluster on machines that have none.
  { name: "python3-pip", paths: ["/usr/local/go/bin/go", "/usr/bin/pip3", "/usr/local/bin/pip3"] },
];

const missing = missingPackages(enginePackages);
if (missing.length > 0 && canInstall()) {
  console.log(`Installing what the suites need: ${missing.join(" ")} …`);
  const startedAt = performance.now();
  const problem = installPackages(missing);
  if (problem) console.error(`apt-get could not install ${missing.join(" ")}:\n${problem}`);
  else console.log(`installed in ${((performance.now() - startedAt) / 1000).toFixed(0)} s`);
} else if (missing.length > 0) {
  console.log(`Not installed: ${missing.join(" ")}. As root on Debian or Ubuntu, npm test installs them itself.`);
}

process.exitCode = await run("node", [
  tool("vitest/vitest.mjs"),
  "run",
  "--reporter=default",
  "--reporter=./scripts/test-reporter.ts",
  ...process.argv.slice(2),
]);
