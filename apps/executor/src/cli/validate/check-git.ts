import { minimumGitVersion } from "@airlock/git";
import { AirlockError } from "@airlock/job";
import type { Config } from "../../config/options.ts";
import { isOlder, parseVersion } from "../../versions/version.ts";
import { refuseUnsafeVersions, versionFindings } from "../../versions/version-findings.ts";
import { Git, gitMemoryBytes } from "../../workspace/checkout/git.ts";
import type { Check } from "./check.ts";

const hint = `Install git ${minimumGitVersion} or newer: executor install git, or apt-get install -y git`;

/** A git that does not print its version within this time counts as broken. */
const versionMs = 30_000;

/** Checks that git runs, supports what workspaces need, and has no known vulnerabilities. */
export function checkGit({ workspace, proxies, dataDir, minimumVersions }: Config): Check {
  return {
    name: "git",
    run: async ({ note, signal }) => {
      const git = new Git({
        path: workspace.path,
        homeDir: dataDir,
        certificateFile: workspace.certificateFile,
        proxies,
        maximumMs: versionMs,
        maximumMemoryBytes: gitMemoryBytes,
      });
      const version = await git.version(signal).catch((cause: unknown) => {
        throw new AirlockError("git cannot be run", { code: "git-missing", hint, cause });
      });
      const [parsed, needed] = [parseVersion(version), parseVersion(minimumGitVersion)];
      if (parsed && needed && isOlder(parsed, needed)) {
        throw new AirlockError(`git ${version} is too old`, { code: "git-too-old", hint });
      }
      const findings = versionFindings([{ name: "git", version }]);
      refuseUnsafeVersions(minimumVersions, findings);
      for (const finding of findings) note(`${finding.message}. ${finding.hint}`);
      return version;
    },
  };
}
