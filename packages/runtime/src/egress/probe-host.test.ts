import { describeWithEngines } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { runTool } from "./host/run-tool.ts";
import { explainRulesFailure, explainTableFailure } from "./probe-host.ts";

/** Runs the probe in an environment that `before` changes. It may hide files or drop privileges. */
async function problemWith(before: string): Promise<string | null> {
  const module = new URL("./probe-host.ts", import.meta.url).href;
  const program = `import { probeGuestLink, probeHost } from ${JSON.stringify(module)};
    console.log(JSON.stringify((await probeHost()).problem ?? (await probeGuestLink())));`;
  const script = `${before} "$0" --input-type=module-typescript --eval "$1"`;
  return JSON.parse(await runTool(["unshare", "--mount", "sh", "-ec", script, process.execPath, program]));
}

describeWithEngines(["network"], "the probe for egress policies", () => {
  it("finds no problem on this machine", async () => {
    expect(await problemWith("")).toBeNull();
  });

  it("finds no problem on a minimal system without names for protocols and services", async () => {
    const hide = ["protocols", "services"].map((file) => `mount --bind /dev/null /etc/${file};`).join(" ");
    expect(await problemWith(hide)).toBeNull();
  });

  it.each([
    ["net_admin", "need the capability NET_ADMIN"],
    ["sys_admin", "give it the capability SYS_ADMIN"],
  ])("names the capability that is missing: %s", async (capability, words) => {
    const drop = `exec setpriv --bounding-set=-${capability} --inh-caps=-${capability}`;
    expect(await problemWith(drop)).toContain(words);
  });

  it("names the device that taps need", async () => {
    expect(await problemWith("mount --bind /dev/null /dev/net/tun;")).toMatch(/need a tap device .*\/dev\/net\/tun/s);
  });

  it("names kernel settings that can't be written, as in a container", async () => {
    const problem = await problemWith("mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys;");
    expect(problem).toContain("mount /proc/sys writable");
  });
});

describe("a failure of nft", () => {
  it("is blamed on the kernel when the kernel does not support the operation", () => {
    const failure =
      "/dev/stdin:7:1-60: Error: Could not process rule: No such file or directory\nadd rule inet t c ct count over 8 drop\n^^^^^^^";
    expect(explainRulesFailure(failure)).toBe(
      'Egress policies other than none need something that the kernel does not support (Could not process rule: No such file or directory in "add rule inet t c ct count over 8 drop"); load its modules of nftables (nft_ct, nft_connlimit, nft_limit, nft_masq, nft_redir, nft_reject_inet), or use a kernel that has them.',
    );
  });

  it("is blamed on nft when it does not understand the syntax", () => {
    const failure = "/dev/stdin:7:1-60: Error: syntax error, unexpected string\nadd rule inet t c ct bogus\n^^^^";
    expect(explainRulesFailure(failure)).toContain(
      'this nft does not accept (syntax error, unexpected string in "add rule',
    );
  });

  it("is blamed on the kernel when it has no nftables at all", () => {
    expect(explainTableFailure("netlink: Error: cache initialization failed: Protocol not supported")).toContain(
      "load the module nf_tables",
    );
  });
});
