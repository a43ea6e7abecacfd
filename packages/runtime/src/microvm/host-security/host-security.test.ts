import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { expect, it } from "vitest";
import { hostSecurityFindings } from "./host-security.ts";

async function findingsOn(files: Readonly<Record<string, string>>): Promise<readonly string[]> {
  await using directory = await temporaryDirectory();
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory.path, name)), { recursive: true });
    await writeFile(join(directory.path, name), content);
  }
  return await hostSecurityFindings(directory.path);
}

const cpu = "sys/devices/system/cpu";
const safe = {
  [`${cpu}/smt/active`]: "0\n",
  "sys/kernel/mm/ksm/run": "0\n",
  "proc/swaps": "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
  [`${cpu}/vulnerabilities/mds`]: "Mitigation: Clear CPU buffers; SMT disabled\n",
  [`${cpu}/vulnerabilities/meltdown`]: "Not affected\n",
};

it("finds nothing on a machine that follows Firecracker's guide", async () => {
  expect(await findingsOn(safe)).toEqual([]);
});

it("says what to do about multithreading, merged pages, swap and unmitigated processors", async () => {
  const findings = await findingsOn({
    ...safe,
    [`${cpu}/smt/active`]: "1\n",
    "sys/kernel/mm/ksm/run": "1\n",
    "proc/swaps": `${safe["proc/swaps"]}/dev/sda2 partition 1 0 -2\n/swap\u001b[31m file 1 0 -3\n`,
    [`${cpu}/vulnerabilities/mds`]: "Vulnerable: Clear CPU buffers attempted, no microcode; SMT vulnerable\n",
    [`${cpu}/vulnerabilities/retbleed`]: "Vulnerable\n",
  });
  expect(findings).toEqual([
    expect.stringMatching(/^Simultaneous multithreading is on.*smt\/control$/),
    expect.stringMatching(/^The kernel merges equal pages.*ksm\/run$/),
    expect.stringMatching(/^Swap is on \(\/dev\/sda2, \/swap\?\[31m\).*swapoff -a/),
    expect.stringMatching(/mds \(Vulnerable: Clear .*\), retbleed \(Vulnerable\)\. Update the kernel/),
  ]);
});

it("takes missing files for a kernel without these functions", async () => {
  expect(await findingsOn({})).toEqual([expect.stringContaining("does not say which vulnerabilities")]);
});

it("reads this machine", async () => {
  expect(await hostSecurityFindings()).toEqual(expect.any(Array));
});
