import { parseDuration } from "@airlock/job";
import { Command, InvalidArgumentError, Option } from "commander";
import type { TestVmOptions } from "./test-vm.ts";

/** The work behind `executor test-vm` and its commands. Each resolves to the exit code. */
export interface TestVmActions {
  testVm(options: TestVmOptions): Promise<number>;
  attachTestVm(name: string): Promise<number>;
  endTestVm(name: string): Promise<number>;
  listTestVms(): Promise<number>;
}

const maximumKeepMs = 24 * 3_600_000;

interface Flags {
  readonly repo?: string;
  readonly revision?: string;
  readonly image?: string;
  readonly nameOnly?: true;
  readonly keep: number;
}

export function testVmCommand(actions: TestVmActions, setExitCode: (code: number) => void): Command {
  const command = new Command("test-vm")
    .description("boot a virtual machine as for a job, and attach this terminal to it (requires root)")
    .helpCommand(false)
    .option("--repo <REPOSITORY>", "check out this repository: its name in the instance, or its address (https://…)")
    .option("--revision <REVISION>", "branch, tag or full commit id of the repository (default: HEAD)")
    .option("--image <IMAGE>", "run the shell in this image of steps (default: the machine's own system, busybox)")
    .option("--name-only", "leave the machine running, and print only its name")
    .addOption(
      new Option("--keep <DURATION>", "how long a machine that is left running may run, at most 24h")
        .argParser(keepMs)
        .default(3_600_000, "1h"),
    )
    .addHelpText(
      "after",
      `
Uses the variables of \`executor run\` and works beside a running executor. The machine has the limits and the network of a
job that names none. Its shell runs as a step does, in the workspace /data. The machine ends with the shell, with Ctrl-],
and when the command is stopped.

With --name-only, or without a terminal, the machine stays until \`executor test-vm end\` or the time of --keep.

An instance gives repositories only to running jobs, unless it accepts the shared secret for them. Name a repository by
its address then.

Examples:
  executor test-vm
  executor test-vm --repo https://github.com/octocat/Hello-World --revision master
  executor test-vm --image node:24
  name=$(executor test-vm --name-only) && executor test-vm attach $name
  executor test-vm end $name`,
    )
    .action(async ({ repo, revision, image, nameOnly, keep }: Flags) => {
      if (repo === undefined && revision !== undefined) {
        command.error("error: --revision needs a repository: name it with --repo");
      }
      if (repo !== undefined && /^[a-z][a-z0-9+.-]*:\/\//i.test(repo) && !isWebAddress(repo)) {
        command.error("error: --repo must be a name, or an address with https:// or http:// and without credentials");
      }
      const options = { repository: repo ?? null, revision: revision ?? "HEAD", image: image ?? null };
      setExitCode(await actions.testVm({ ...options, nameOnly: nameOnly ?? false, keepMs: keep }));
    });
  command
    .command("attach")
    .description("attach this terminal to a machine that was left running; leave with exit or Ctrl-]")
    .argument("<NAME>", "name of the machine")
    .addHelpText("after", "\nExample:\n  executor test-vm attach executor-test-vm-1f2e3d4c")
    .action(async (name: string) => setExitCode(await actions.attachTestVm(name)));
  command
    .command("end")
    .description("end a machine that was left running, and remove everything of it")
    .argument("<NAME>", "name of the machine")
    .addHelpText("after", "\nExample:\n  executor test-vm end executor-test-vm-1f2e3d4c")
    .action(async (name: string) => setExitCode(await actions.endTestVm(name)));
  command
    .command("list")
    .description("print the names of machines that were left running")
    .addHelpText("after", "\nExample:\n  executor test-vm list")
    .action(async () => setExitCode(await actions.listTestVms()));
  return command;
}

function keepMs(text: string): number {
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0 && ms <= maximumKeepMs) return ms;
  throw new InvalidArgumentError("Write it as 30m or 2h, at most 24h.");
}

function isWebAddress(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && ["http:", "https:"].includes(url.protocol) && url.username === "" && url.password === "";
}
