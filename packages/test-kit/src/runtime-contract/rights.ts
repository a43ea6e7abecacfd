import { networkInterfaces } from "node:os";
import { describe, expect, it } from "vitest";
import type { ContractTests } from "./contract-tests.ts";

/** Bits of capabilities(7) with which a process can leave a container. */
const dangerousCapabilities = {
  DAC_READ_SEARCH: 2n,
  NET_ADMIN: 12n,
  NET_RAW: 13n,
  SYS_MODULE: 16n,
  SYS_RAWIO: 17n,
  SYS_PTRACE: 19n,
  SYS_ADMIN: 21n,
  SYS_BOOT: 22n,
  SYS_RESOURCE: 24n,
  SYS_TIME: 25n,
  MKNOD: 27n,
  SYSLOG: 34n,
  PERFMON: 38n,
  BPF: 39n,
};

/** Tests the contract about what a step may do. Part of `describeRuntime`. */
export function describeRights(tests: ContractTests): void {
  const { open, sharesKernel } = tests;
  describe("a step's rights", () => {
    // With gVisor these attempts don't reach the host's kernel.
    if (sharesKernel) {
      it("include few capabilities, no new privileges, and a system call filter", async () => {
        await using place = await open();

        const { stdout } = await place.run("cat /proc/self/status");

        const field = (key: string) => new RegExp(`^${key}:\\s*(\\S+)$`, "m").exec(stdout)?.[1];
        expect(field("NoNewPrivs")).toBe("1");
        expect(field("Seccomp")).toBe("2");
        for (const set of ["CapEff", "CapPrm", "CapBnd"]) {
          const held = BigInt(`0x${field(set)}`);
          const dangerous = Object.entries(dangerousCapabilities).filter(([, bit]) => (held & (1n << bit)) !== 0n);
          expect(dangerous, set).toEqual([]);
        }
      });
    }

    // With gVisor these attempts don't reach the host's kernel.
    if (sharesKernel) {
      it("do not include mounts, namespaces, devices, or kernel settings", async () => {
        await using place = await open();

        // Kernel files are opened for writing but never written: a runtime that fails this test must not harm the
        // machine.
        const { stdout } = await place.run(`
          mkdir -p /tmp/m
          mount -t tmpfs none /tmp/m && echo mounted
          mount -t proc none /tmp/m && echo mounted proc
          umount /airlock && echo unmounted
          unshare -U true && echo new user namespace
          unshare -m true && echo new mount namespace
          mknod /tmp/disk b 254 0 && echo device
          mknod /dev/disk b 254 0 && echo device
          (: >> /proc/sysrq-trigger) && echo sysrq
          (: >> /proc/sys/kernel/core_pattern) && echo core_pattern
          dd if=/proc/kcore of=/dev/null bs=1 count=1 && echo kcore
          find / -name release_agent -not -path '/proc/*' | grep . && echo release_agent
          (: >> /sys/kernel/uevent_helper) && echo uevent_helper
          (: >> /sys/kernel/profiling) && echo sysfs
          hostname "$(hostname)" && echo hostname
          true`);

        expect(stdout).toBe("");
      });
    }

    it("do not include the network with egress: none", async () => {
      await using place = await open();
      const addresses = Object.values(networkInterfaces()).flatMap((list) =>
        (list ?? []).filter(({ family }) => family === "IPv4").map(({ address }) => address),
      );

      const { stdout } = await place.run(
        `for address in ${addresses.join(" ")}; do wget -q -T 2 -O - "http://$address:${tests.hostPort}/"; done
         ${tests.emptyNetwork ? "tail -n +2 /proc/net/route" : ""}; true`,
      );

      expect(addresses).toContain("127.0.0.1");
      expect(stdout).toBe("");
    });

    it("include a separate loopback interface", async () => {
      await using place = await open();

      const { stdout } = await place.run("(echo hello | nc -l -p 4000) & sleep 1; nc 127.0.0.1 4000 < /dev/null");

      expect(stdout).toBe("hello\n");
    });
  });
}
