import { describe, expect, it } from "vitest";
import { advisories } from "./advisories.ts";
import { runtimePrograms } from "./runtime-programs.ts";
import { isFixed, isOlder, parseVersion, type Version } from "./version.ts";
import { refuseUnsafeVersions, versionFindings } from "./version-findings.ts";

function version(text: string): Version {
  const parsed = parseVersion(text);
  if (!parsed) throw new Error(`${text} is not a version`);
  return parsed;
}

describe("versions", () => {
  for (const [text, parts] of [
    ["2.39.5", [2, 39, 5]],
    ["1.1.5+ds1-1+deb12u1", [1, 1, 5]],
    ["20.10.24+dfsg1", [20, 10, 24]],
    ["v1.7.2", [1, 7, 2]],
    ["1.20", [1, 20, 0]],
    ["0.0~20221219.0", [20_221_219, 0, 0]],
    ["release-20250407.0", [20_250_407, 0, 0]],
  ] as const) {
    it(`reads ${text}`, () => {
      expect(parseVersion(text)?.slice(0, 3)).toEqual(parts);
    });
  }

  it("sorts a release candidate before its release, and rejects invalid versions", () => {
    expect(isOlder(version("1.4.0-rc.3"), version("1.4.0"))).toBe(true);
    expect(isOlder(version("1.4.0-rc.2"), version("1.4.0-rc.3"))).toBe(true);
    expect(isOlder(version("1.4.0"), version("1.4.0"))).toBe(false);
    expect(parseVersion("unknown")).toBeUndefined();
  });

  const gitFixes = ["2.43.7", "2.44.4", "2.50.1"].map(version);
  for (const [text, fixed] of [
    ["2.43.6", false],
    ["2.43.7", true],
    ["2.44.3", false],
    ["2.44.9", true],
    // This branch was abandoned without a fix, unlike its neighbors.
    ["2.45.9", false],
    ["2.39.99", false],
    ["2.50.0", false],
    ["2.51.0", true],
    ["3.0.0", true],
  ] as const) {
    it(`${fixed ? "finds" : "misses"} a fix in git ${text}, according to its own release branch`, () => {
      expect(isFixed(version(text), gitFixes)).toBe(fixed);
    });
  }
});

describe("version findings", () => {
  it("name each unsafe program with its CVEs and the next step, and ignore safe ones", () => {
    const found = versionFindings([
      { name: "git", version: "2.39.2" },
      { name: "runc", version: "1.1.5+ds1" },
      { name: "crun", version: "1.8.1" },
      { name: "runsc", version: "0.0~20221219.0" },
      { name: "docker", version: "20.10.24+dfsg1" },
      { name: "containerd", version: "1.0.0" },
    ]);

    expect(found.map(({ program }) => program)).toEqual(["git", "runc", "runsc", "docker"]);
    expect(found[0]?.message).toContain("CVE-2025-48384");
    expect(found[0]?.message).toContain("CVE-2024-32002");
    expect(found[0]?.hint).toContain("2.43.7");
    expect(found[1]?.message).toContain("CVE-2024-21626");
    expect(found[3]?.message).toContain("CVE-2024-41110");
  });

  it("leave out vulnerabilities that are fixed", () => {
    const [finding] = versionFindings([{ name: "runc", version: "1.2.8" }]);

    expect(finding?.message).toContain("CVE-2026-41579");
    expect(finding?.message).not.toContain("CVE-2025-31133");
    expect(
      versionFindings([
        { name: "git", version: "2.50.1" },
        { name: "runc", version: "1.4.3" },
        { name: "docker", version: "29.3.1" },
      ]),
    ).toEqual([]);
  });

  it("read the programs' versions from the runtimes' descriptions", () => {
    const components = [{ name: "runc", version: "1.1.5" }];

    expect(runtimePrograms("docker", { version: "20.10.24", components })).toEqual([
      { name: "docker", version: "20.10.24" },
      ...components,
    ]);
    expect(runtimePrograms("oci", { version: "crun 1.8.1" })).toEqual([{ name: "crun", version: "1.8.1" }]);
  });

  it("include a version that can't be parsed", () => {
    expect(versionFindings([{ name: "git", version: "custom build" }])).toHaveLength(1);
  });

  it("stop the executor only if the administrator configures that", () => {
    const findings = versionFindings([{ name: "runc", version: "1.0.0" }]);

    expect(() => refuseUnsafeVersions("warn", findings)).not.toThrow();
    expect(() => refuseUnsafeVersions("refuse", [])).not.toThrow();
    expect(() => refuseUnsafeVersions("refuse", findings)).toThrow(
      expect.objectContaining({ code: "program-too-old", message: expect.stringContaining("CVE-2024-21626") }),
    );
  });

  it("come from a table with parseable versions and identifiers", () => {
    for (const { ids, fixedIn } of advisories) {
      for (const id of ids) expect(id).toMatch(/^CVE-\d{4}-\d{4,}$/);
      for (const text of fixedIn) expect(parseVersion(text), text).toBeDefined();
    }
  });
});
