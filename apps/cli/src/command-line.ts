import { hideUrlCredentials } from "@airlock/job";
import { Command } from "commander";
import { auditExportCommand } from "./commands/audit/export.ts";
import { auditListCommand } from "./commands/audit/list.ts";
import { completionCommand } from "./commands/completion.ts";
import { devCommand } from "./commands/dev.ts";
import { executorCommand } from "./commands/executor.ts";
import { executorTokenCreateCommand } from "./commands/executor-token/create.ts";
import { executorTokenListCommand } from "./commands/executor-token/list.ts";
import { executorTokenRevokeCommand } from "./commands/executor-token/revoke.ts";
import { executorTokenRotateCommand } from "./commands/executor-token/rotate.ts";
import { executorsDrainCommand } from "./commands/executors/drain.ts";
import { executorsListCommand } from "./commands/executors/list.ts";
import { executorsPauseCommand } from "./commands/executors/pause.ts";
import { executorsResumeCommand } from "./commands/executors/resume.ts";
import { executorsShowCommand } from "./commands/executors/show.ts";
import { instanceListCommand } from "./commands/instance/list.ts";
import { instanceUseCommand } from "./commands/instance/use.ts";
import { jobArtifactsCommand } from "./commands/job/artifacts.ts";
import { jobCancelCommand } from "./commands/job/cancel.ts";
import { jobDownloadCommand } from "./commands/job/download.ts";
import { jobFileCommand } from "./commands/job/file.ts";
import { jobListCommand } from "./commands/job/list.ts";
import { jobLogsCommand } from "./commands/job/logs.ts";
import { jobRetryCommand } from "./commands/job/retry.ts";
import { jobShowCommand } from "./commands/job/show.ts";
import { jobSubmitCommand } from "./commands/job/submit.ts";
import { loginCommand } from "./commands/login.ts";
import { logoutCommand } from "./commands/logout.ts";
import { orgCreateCommand } from "./commands/org/create.ts";
import { orgDeleteCommand } from "./commands/org/delete.ts";
import { orgListCommand } from "./commands/org/list.ts";
import { orgMemberCommand } from "./commands/org/member.ts";
import { orgShowCommand } from "./commands/org/show.ts";
import { queueCreateCommand } from "./commands/queue/create.ts";
import { queueDeleteCommand } from "./commands/queue/delete.ts";
import { queueListCommand } from "./commands/queue/list.ts";
import { queueUpdateCommand } from "./commands/queue/update.ts";
import { repoAddCommand } from "./commands/repo/add.ts";
import { repoListCommand } from "./commands/repo/list.ts";
import { repoRefreshCommand } from "./commands/repo/refresh.ts";
import { repoRemoveCommand } from "./commands/repo/remove.ts";
import { runCommand } from "./commands/run.ts";
import { secretAuditCommand } from "./commands/secret/audit.ts";
import { secretDeleteCommand } from "./commands/secret/delete.ts";
import { secretListCommand } from "./commands/secret/list.ts";
import { secretRotateCommand } from "./commands/secret/rotate.ts";
import { secretSetCommand } from "./commands/secret/set.ts";
import { serverCommand } from "./commands/server.ts";
import { tokenListCommand } from "./commands/token/list.ts";
import { tokenRevokeCommand } from "./commands/token/revoke.ts";
import { userCreateCommand } from "./commands/user/create.ts";
import { userListCommand } from "./commands/user/list.ts";
import { userResetLinkCommand } from "./commands/user/reset-link.ts";
import { userShowCommand } from "./commands/user/show.ts";
import { userDisableCommand, userEnableCommand, userSetRoleCommand } from "./commands/user/update.ts";
import { whoamiCommand } from "./commands/whoami.ts";
import type { CommandContext } from "./context/command-context.ts";
import { parseInstanceChoice } from "./options/instance-argument.ts";
import { version } from "./version.ts";

/** The complete command line of `airlock`: nouns with their verbs, and the programs. */
export function commandLine(context: CommandContext): Command {
  const program = new Command("airlock")
    .description("Runs untrusted code in a secure and controllable way.")
    .version(version, "-V, --version", "print the version")
    .option("--instance <NAME>", "use this instance of `airlock login`, by its name or address", parseInstanceChoice)
    .hook("preAction", (command) => chooseInstance(context.env, command.opts<{ instance?: string }>().instance))
    .enablePositionalOptions()
    .addCommand(devCommand(context))
    .addCommand(serverCommand(context))
    .addCommand(executorCommand(context))
    .addCommand(runCommand(context))
    .addCommand(
      noun("job", "Submit, watch and cancel jobs", [
        jobSubmitCommand(context),
        jobListCommand(context),
        jobShowCommand(context),
        jobLogsCommand(context),
        jobFileCommand(context),
        jobArtifactsCommand(context),
        jobDownloadCommand(context),
        jobCancelCommand(context),
        jobRetryCommand(context),
      ]),
    )
    .addCommand(
      noun("repo", "Repositories on which jobs run", [
        repoAddCommand(context),
        repoListCommand(context),
        repoRefreshCommand(context),
        repoRemoveCommand(context),
      ]),
    )
    .addCommand(
      noun("executors", "Machines that run jobs", [
        executorsListCommand(context),
        executorsShowCommand(context),
        executorsDrainCommand(context),
        executorsPauseCommand(context),
        executorsResumeCommand(context),
      ]),
    )
    .addCommand(
      noun("executor-token", "Tokens with which executors get jobs of one queue", [
        executorTokenCreateCommand(context),
        executorTokenListCommand(context),
        executorTokenRotateCommand(context),
        executorTokenRevokeCommand(context),
      ]),
    )
    .addCommand(
      noun("queue", "Queues in which jobs wait", [
        queueListCommand(context),
        queueCreateCommand(context),
        queueUpdateCommand(context),
        queueDeleteCommand(context),
      ]),
    )
    .addCommand(
      noun("secret", "Secrets that the steps of jobs can use", [
        secretListCommand(context),
        secretSetCommand(context),
        secretDeleteCommand(context),
        secretAuditCommand(context),
        secretRotateCommand(context),
      ]),
    )
    .addCommand(loginCommand(context))
    .addCommand(logoutCommand(context))
    .addCommand(whoamiCommand(context))
    .addCommand(
      noun("instance", "Instances that you are logged in to", [
        instanceListCommand(context),
        instanceUseCommand(context),
      ]),
    )
    .addCommand(
      noun("user", "People who use the instance", [
        userCreateCommand(context),
        userListCommand(context),
        userShowCommand(context),
        userSetRoleCommand(context),
        userResetLinkCommand(context),
        userDisableCommand(context),
        userEnableCommand(context),
      ]),
    )
    .addCommand(
      noun("org", "Organizations, which own jobs and secrets", [
        orgCreateCommand(context),
        orgListCommand(context),
        orgShowCommand(context),
        orgMemberCommand(context),
        orgDeleteCommand(context),
      ]),
    )
    .addCommand(noun("token", "Access tokens of users", [tokenListCommand(context), tokenRevokeCommand(context)]))
    .addCommand(noun("audit", "The record of who did what", [auditListCommand(context), auditExportCommand(context)]))
    .addCommand(completionCommand(context))
    .addHelpText(
      "after",
      `
How commands find the instance, in this order:
  1. --instance, before the command: \`airlock --instance work job list\`
  2. AIRLOCK_URL and AIRLOCK_TOKEN
  3. AIRLOCK_INSTANCE, the name or address of an instance of \`airlock login\`
  4. connection.json in AIRLOCK_DATA_DIR
  5. the nearest .airlock/connection.json in this directory or above, which \`airlock dev\` writes
  6. the current instance of \`airlock login\`

Examples:
  airlock dev
  airlock job submit --repo . --image host --follow -- sh -c 'ls; git log -1'
  airlock job list`,
    );
  configure(program, context);
  return program;
}

/** The choice on the command line wins over all others. */
function chooseInstance(env: NodeJS.ProcessEnv, instance: string | undefined): void {
  if (instance === undefined) return;
  env.AIRLOCK_INSTANCE = instance;
  delete env.AIRLOCK_URL;
  delete env.AIRLOCK_TOKEN;
}

function noun(name: string, description: string, verbs: readonly Command[]): Command {
  const command = new Command(name).description(description);
  for (const verb of verbs) command.addCommand(verb);
  return command;
}

/** Applies settings that commander does not pass on to commands that were created separately. */
function configure(command: Command, context: CommandContext): void {
  command
    .exitOverride()
    .configureOutput({
      writeOut: (text) => context.stdout.write(text),
      writeErr: (text) => context.stderr.write(hideUrlCredentials(text)),
      getOutHelpWidth: () => context.stdout.columns ?? 100,
      getErrHelpWidth: () => context.stderr.columns ?? 100,
    })
    .showHelpAfterError(`(see \`${fullName(command)} --help\`)`);
  for (const child of command.commands) configure(child, context);
}

function fullName(command: Command): string {
  return command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();
}
