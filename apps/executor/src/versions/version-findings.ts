import { AirlockError } from "@airlock/job";
import { type Advisory, advisories } from "./advisories.ts";
import { isFixed, parseVersion, type Version } from "./version.ts";

/** A program of the host and the version that it reports. */
export interface InstalledProgram {
  /** `git`, `runc`, `crun`, `runsc`, `docker`. Other programs have no known minimum version. */
  readonly name: string;
  readonly version: string;
}

/** A program older than its safe versions: its vulnerabilities in one sentence, and what to do. */
export interface VersionFinding {
  readonly program: string;
  readonly message: string;
  readonly hint: string;
}

/** One finding for each program with known vulnerabilities. A program whose version can't be parsed has one, too. */
export function versionFindings(
  programs: readonly InstalledProgram[],
  known: readonly Advisory[] = advisories,
): readonly VersionFinding[] {
  return programs.flatMap(({ name, version: text }) => {
    const concerning = known.filter(({ program }) => program === name);
    if (concerning.length === 0) return [];
    const version = parseVersion(text);
    if (!version) {
      const hint = "Make sure that the program is up to date.";
      return [{ program: name, message: `${name} reports the version "${text}", which cannot be compared`, hint }];
    }
    const open = concerning.filter(({ fixedIn }) => !isFixed(version, versions(fixedIn)));
    return open.length === 0 ? [] : [finding(name, text, open)];
  });
}

/**
 * Applies the administrator's setting. `warn` does nothing.
 * @throws {AirlockError} code `program-too-old` for `refuse`, naming each program.
 */
export function refuseUnsafeVersions(setting: "warn" | "refuse", findings: readonly VersionFinding[]): void {
  if (setting === "warn" || findings.length === 0) return;
  throw new AirlockError(findings.map(({ message }) => message).join("\n"), {
    code: "program-too-old",
    hint: [...new Set(findings.map(({ hint }) => hint))].join("\n"),
  });
}

function finding(program: string, version: string, open: readonly Advisory[]): VersionFinding {
  const dangers = open.map(({ ids, danger }) => `${ids.join(", ")} (${danger})`).join("; ");
  // The newest advisory is fixed only in the newest branches. Those include all earlier fixes.
  const fixedIn = open[0]?.fixedIn ?? [];
  return {
    program,
    message: `${program} ${version} has known vulnerabilities: ${dangers}`,
    hint:
      `Upgrade ${program} to ${fixedIn.join(", ")} or newer. If the distribution fixes it without raising the version, ` +
      "install its security updates. EXECUTOR_MINIMUM_VERSIONS decides between warning and refusal.",
  };
}

function versions(texts: readonly string[]): Version[] {
  return texts.flatMap((text) => {
    const version = parseVersion(text);
    return version ? [version] : [];
  });
}
