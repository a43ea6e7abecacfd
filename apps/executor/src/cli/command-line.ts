import { Command, CommanderError } from "commander";
import { variablesDocument, variablesText } from "../config/variables-document.ts";
import type { GuestSource } from "./install/install-microvm.ts";
import { type TestVmActions, testVmCommand } from "./test-vm/test-vm-command.ts";
import { versionText } from "./version-text.ts";

/** The work behind each command. Each method resolves to the exit code. */
export interface CommandLineActions extends TestVmActions {
  run(options: { readonly verify: boolean }): Promise<number>;
  validate(): Promise<number>;
  install(target: string, guest: GuestSource): Promise<number>;
  loadImages(file: string): Promise<number>;
  runJob(): Promise<number>;
}

export interface CommandLineOutput {
  out(text: string): void;
  error(text: string): void;
}

const usageExitCode = 2;

/** Runs `executor ARGS` and resolves to its exit code. Help and usage errors are written to `output`. */
export async function runCommandLine(
  args: readonly string[],
  actions: CommandLineActions,
  output: CommandLineOutput,
): Promise<number> {
  let exitCode = 0;
  const program = commandLine(actions, output, (code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(protocolArguments(args, program), { from: "user" });
    return exitCode;
  } catch (error) {
    // Commander has already written its message.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageExitCode;
    throw error;
  }
}

/**
 * Rewrites arguments in the protocol's style. The protocol's executors take long flags with one dash (`-verify`). They
 * are started without a command, or with only the flags of `run`.
 */
function protocolArguments(args: readonly string[], program: Command): string[] {
  const long = args.map((arg) => (/^-[a-z]{2,}/.test(arg) ? `-${arg}` : arg));
  const [first] = long;
  const ownFlags = ["--help", "-h", "--version", "-v"];
  if (first === undefined || (first.startsWith("-") && !ownFlags.includes(first))) return ["run", ...long];
  // `executor help run` means `executor run --help`.
  const [, topic] = long;
  const isCommand = program.commands.some((command) => command.name() === topic && topic !== "help");
  return first === "help" && topic !== undefined && isCommand ? [topic, "--help"] : long;
}

function commandLine(
  actions: CommandLineActions,
  output: CommandLineOutput,
  setExitCode: (code: number) => void,
): Command {
  const program = new Command("executor")
    .description("Takes jobs from an instance and runs them in sandboxes.")
    .version(versionText(), "-v, --version", "print the versions")
    .helpCommand(false)
    .addCommand(runCommand(actions, setExitCode))
    .addCommand(validateCommand(actions, setExitCode))
    .addCommand(installCommand(actions, setExitCode))
    .addCommand(imageCommand(actions, setExitCode))
    .addCommand(runJobCommand(actions, setExitCode), { hidden: true })
    .addCommand(versionCommand(output))
    .addCommand(testVmCommand(actions, setExitCode))
    .addHelpText(
      "after",
      `
Configured by environment variables: EXECUTOR_FRONTEND_URL, EXECUTOR_FRONTEND_PASSWORD and EXECUTOR_QUEUE_NAME at
least. \`executor help variables\` lists all of them; so does docs/executor-configuration.md.

Examples:
  EXECUTOR_FRONTEND_URL=https://airlock.example.com EXECUTOR_FRONTEND_PASSWORD=… EXECUTOR_QUEUE_NAME=default executor run
  executor install all && executor validate

Exit codes:
  0    done
  1    failed
  2    the command line is wrong`,
    );
  program.addCommand(helpCommand(program, output));
  configure(program, output);
  return program;
}

function runCommand({ run }: CommandLineActions, setExitCode: (code: number) => void): Command {
  return new Command("run")
    .description("take jobs from the instance and run them (default)")
    .option("--verify", "check everything first, as `executor validate` does", false)
    .addHelpText(
      "after",
      `
On the first SIGTERM, SIGINT or SIGHUP the executor takes no more jobs and waits for running ones. On the second it stops
running jobs and hands them back to the instance. On the third it exits at once.

Examples:
  executor run
  EXECUTOR_MAXIMUM_NUM_JOBS=4 executor run --verify`,
    )
    .action(async ({ verify }: { readonly verify: boolean }) => setExitCode(await run({ verify })));
}

function validateCommand({ validate }: CommandLineActions, setExitCode: (code: number) => void): Command {
  return new Command("validate")
    .description("check everything that `executor run` needs, and print how to fix each problem")
    .addHelpText(
      "after",
      `
Checks the configuration, the user, the data directory, git, the runtime, registry credentials, certificates, proxies and
the instance, in the environment of \`executor run\`. Exits with 1 when a check fails.

Example:
  EXECUTOR_FRONTEND_URL=https://airlock.example.com EXECUTOR_FRONTEND_PASSWORD=… EXECUTOR_QUEUE_NAME=default executor validate`,
    )
    .action(async () => setExitCode(await validate()));
}

function installCommand({ install }: CommandLineActions, setExitCode: (code: number) => void): Command {
  const command = new Command("install")
    .description("install the programs that `executor run` needs (requires root, on Debian or Ubuntu)")
    .argument("[TARGET]", "all, git, crun, runc, nftables or microvm", "all")
    .argument("[IMAGE]", "image name, only for the unsupported target `image`")
    .option("--from <DIRECTORY>", "microvm: copy the guest's files from a directory, without network")
    .option("--kernel-package <FILE>", "microvm: build them with this kernel package (.deb), without network")
    .option("--docker", "microvm: make the disk for jobs with `services: docker` as well")
    .option("--bin-dir <DIR>", "accepted for compatibility, has no effect")
    .option("--recreate-chain", "accepted for compatibility, has no effect")
    .addHelpText(
      "after",
      `
The target all installs git, crun, nftables, iproute2, conntrack, util-linux and e2fsprogs. Programs that are already
installed are not changed. On other systems the command prints the command to type.

The target microvm installs QEMU and a C compiler, and makes the guest's kernel and initrd in the directory guest of
EXECUTOR_DATA_DIR. Run it again after an update of the executor. For a machine without network, copy that directory of
another machine with the same version of the executor, and name it with --from. With --docker it also downloads Docker
for jobs that ask for it.

Other targets of Sourcegraph's executor: src-cli, iptables-rules, ignite, image and cni are not needed.

Examples:
  executor install all
  executor install runc
  executor install microvm
  executor install microvm --docker
  executor install microvm --from /media/usb/guest`,
    );
  return command.action(
    async (target: string, image: string | undefined, { from, kernelPackage, docker }: GuestSource) => {
      if (image !== undefined && target !== "image") command.error(`error: unknown argument '${image}'`);
      const guest = {
        ...(from === undefined ? {} : { from }),
        ...(kernelPackage === undefined ? {} : { kernelPackage }),
        ...(docker === undefined ? {} : { docker }),
      };
      setExitCode(await install(target, guest));
    },
  );
}

function imageCommand({ loadImages }: CommandLineActions, setExitCode: (code: number) => void): Command {
  const load = new Command("load")
    .description("load images from an archive into the store of the oci or microvm runtime, and print their names")
    .argument("<FILE>", "an OCI layout (directory or tar), or a docker save archive")
    .addHelpText("after", "\nExample:\n  docker save alpine:3.20 -o alpine.tar && executor image load alpine.tar")
    .action(async (file: string) => setExitCode(await loadImages(file)));
  return new Command("image")
    .description("manage the images of the oci and microvm runtimes")
    .helpCommand(false)
    .addCommand(load);
}

function runJobCommand({ runJob }: CommandLineActions, setExitCode: (code: number) => void): Command {
  return new Command("run-job")
    .description("run the one job that standard input describes, without an instance; `airlock run` starts this")
    .action(async () => setExitCode(await runJob()));
}

function versionCommand({ out }: CommandLineOutput): Command {
  return new Command("version")
    .description("print the versions of the executor, of Node and of the platform")
    .addHelpText("after", "\nThe first line is the version that the executor reports to the instance.")
    .action(() => out(`${versionText()}\n`));
}

function helpCommand(program: Command, { out }: CommandLineOutput): Command {
  const command = new Command("help")
    .description("print help about a command, or about variables")
    .argument("[TOPIC]", "a command, or `variables`")
    .option("--markdown", "describe all environment variables, as in docs/executor-configuration.md", false)
    .addHelpText("after", "\nExamples:\n  executor help install\n  executor help variables");
  return command.action((topic: string | undefined, { markdown }: { readonly markdown: boolean }) => {
    if (topic === undefined) program.outputHelp();
    else if (topic !== "variables") command.error(`error: unknown topic '${topic}'; see \`executor help\``);
    else out(markdown ? variablesDocument() : `${variablesText()}\n`);
  });
}

/** Applies settings that commander does not pass on to commands that were built separately. */
function configure(command: Command, output: CommandLineOutput): void {
  command
    .exitOverride()
    .helpOption("-h, --help", "print this help")
    .configureOutput({
      writeOut: (text) => output.out(text),
      writeErr: (text) => output.error(text),
      getOutHelpWidth: () => process.stdout.columns ?? 100,
      getErrHelpWidth: () => process.stderr.columns ?? 100,
    })
    .showHelpAfterError(`(see \`${fullName(command)} --help\`)`);
  for (const child of command.commands) configure(child, output);
}

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}
