import { type GitSettings, gitEnvironment, gitNotFoundExitCode, limitedGit, minimumGitVersion } from "@airlock/git";
import { AirlockError, formatBytes, formatDuration } from "@airlock/job";
import { ProgramError, type ProgramResult, runProgram } from "@airlock/process";
import { gitProxySettings, type Proxies } from "@airlock/proxy";
import { checkoutInvalid, checkoutLimit, checkoutUnavailable } from "./checkout-errors.ts";

export interface GitOptions {
  readonly signal: AbortSignal;
  /** Sent with every request to `url`. Git receives them in its environment, see `credentialSettings`. */
  readonly credentials?: { readonly url: URL; readonly headers: Readonly<Record<string, string>> };
  /** Whether the source is a repository on this machine. */
  readonly localTransport?: boolean;
  readonly onStdout?: (bytes: Buffer) => void;
  readonly onStderr?: (bytes: Buffer) => void;
  readonly stdin?: string | Buffer;
}

export interface GitHost {
  /** Search path for git. */
  readonly path: string;
  /** An empty directory that git uses as the home directory. */
  readonly homeDir: string;
  /** PEM file with certificate authorities for HTTPS. */
  readonly certificateFile: string | null;
  /** The ways to the servers of repositories. */
  readonly proxies: Proxies;
  /** Time limit for one command. */
  readonly maximumMs: number;
  /** Memory limit for one process. */
  readonly maximumMemoryBytes: number;
}

/** Enough for the largest blob that git holds in memory, and for the deltas of a fetch. */
export const gitMemoryBytes = 2 * 2 ** 30;

/** Limit for git's output. The list of everything that a mirror keeps is long. */
const maximumStdoutBytes = 16 * 2 ** 20;

/**
 * Runs git on the host within limits, because its time, memory and output depend on what a repository's author wrote.
 * Use it only in directories that no step of a job has touched.
 */
export class Git {
  readonly #host: GitHost;

  constructor(host: GitHost) {
    this.#host = host;
  }

  get proxies(): Proxies {
    return this.#host.proxies;
  }

  /**
   * Runs a git command. An exit code other than 0 is not an error.
   * @throws {AirlockError} `checkout-limit`, `git-missing`.
   */
  async run(args: readonly string[], options: GitOptions): Promise<ProgramResult> {
    const { path, homeDir, certificateFile, maximumMs, maximumMemoryBytes } = this.#host;
    const transports: GitSettings = options.localTransport
      ? // The mirror already checked the objects.
        { "protocol.file.allow": "always", "fetch.fsckObjects": "false" }
      : options.credentials?.url.protocol === "file:"
        ? { "protocol.file.allow": "always" }
        : { "protocol.http.allow": "always", "protocol.https.allow": "always" };
    const proxy = options.credentials ? this.#host.proxies.forUrl(options.credentials.url) : null;
    const settings = {
      ...transports,
      ...credentialSettings(options.credentials),
      ...gitProxySettings(proxy, certificateFile),
    };
    const { signal, onStdout, onStderr, stdin } = options;
    try {
      const result = await runProgram(limitedGit(args, { memoryBytes: maximumMemoryBytes }), {
        // Outside of the work tree, git takes `.gitattributes` from the working directory.
        cwd: "/",
        env: {
          ...gitEnvironment({ path, home: homeDir, settings }),
          ...(certificateFile === null ? {} : { GIT_SSL_CAINFO: certificateFile }),
        },
        signal,
        timeoutMs: maximumMs,
        maxStdoutBytes: maximumStdoutBytes,
        ...(onStdout ? { onStdout } : {}),
        ...(onStderr ? { onStderr } : {}),
        ...(stdin === undefined ? {} : { stdin }),
      });
      if (result.exitCode === gitNotFoundExitCode) throw gitMissing(new Error(result.stderr.trim()));
      if (isOutOfMemory(result)) {
        throw checkoutLimit(`git ${commandOf(args)}: git needs more than ${formatBytes(maximumMemoryBytes)} of memory`);
      }
      return result;
    } catch (error) {
      if (!(error instanceof ProgramError)) throw error;
      if (error.fault === "timed-out") {
        throw checkoutLimit(`git ${commandOf(args)} took longer than ${formatDuration(maximumMs)}`);
      }
      if (error.fault === "too-much-output") {
        throw checkoutLimit(`git ${commandOf(args)} printed more than ${formatBytes(maximumStdoutBytes)}`);
      }
      throw error.fault === "not-found" ? gitMissing(error) : error;
    }
  }

  /** @throws {AirlockError} when the exit code is not 0. Git's messages decide whose fault it is. */
  async check(args: readonly string[], options: GitOptions): Promise<ProgramResult> {
    const result = await this.run(args, options);
    if (result.exitCode === 0) return result;
    throw gitFailure(args, result);
  }

  async version(signal: AbortSignal): Promise<string> {
    const { stdout } = await this.check(["version"], { signal });
    return /\d+\.\d+(?:\.\d+)*/.exec(stdout)?.[0] ?? "";
  }
}

/**
 * Passes the headers as settings in git's environment. They appear on no command line and in no file, and disappear
 * with the process. On the host, only this user and root can read them. The original executor uses a proxy on the
 * loopback interface. While that runs, every local user can fetch with the job's credentials.
 */
function credentialSettings(credentials: GitOptions["credentials"]): GitSettings {
  if (!credentials) return {};
  const { url, headers } = credentials;
  return { [`http.${url.href}.extraHeader`]: Object.entries(headers).map(([name, value]) => `${name}: ${value}`) };
}

/** Git's messages for an invalid repository or commit. A retry does not help. */
const invalid =
  /not our ref|no such (?:ref|remote)|couldn't find remote ref|repository .* not found|returned error: (?:400|403|404|410)|fsck error|invalid path|unable to create file .*(?:File name too long|Is a directory|Not a directory|File exists)|index-pack failed: .*object|bad tree object|(?:empty filename|malformed mode) in tree|too-short tree|does not exist|exceeded maximum allowed tree depth|no valid working-tree-encodings|cannot create directory/i;

/** Matches messages of git and of the programs that it starts. */
function isOutOfMemory({ exitCode, stderr }: ProgramResult): boolean {
  return exitCode !== 0 && /out of memory|cannot allocate memory/i.test(stderr);
}

function gitMissing(cause: unknown): AirlockError {
  return new AirlockError("git cannot be run on this machine", {
    code: "git-missing",
    hint: `Install git ${minimumGitVersion} or newer: executor install git, or apt-get install -y git`,
    cause,
  });
}

/** The subcommand, such as `fetch` or `checkout`. */
function commandOf(args: readonly string[]): string {
  return args.find((arg) => /^[a-z]+(?:-[a-z]+)*$/.test(arg)) ?? "";
}

function gitFailure(args: readonly string[], { exitCode, stderr }: ProgramResult): Error {
  const said = lastLines(stderr);
  const what = `git ${commandOf(args)} exited with ${exitCode}: ${said}`;
  if (/No space left on device|Disk quota exceeded/i.test(stderr)) {
    return checkoutInvalid(
      what,
      "The workspace is full: ask for more with resources.disk, or free space on the executor's disk.",
    );
  }
  if (invalid.test(stderr)) {
    return checkoutInvalid(
      what,
      "Check that the instance knows the repository and the commit, and that every path in it is valid.",
    );
  }
  const fault = faults.find(({ says }) => says.test(stderr));
  return fault ? checkoutUnavailable(`${fault.where}: ${what}`, fault.hint) : checkoutUnavailable(what);
}

/** Explanations of temporary failures, by the messages of git's HTTP client. */
const faults = [
  {
    says: /SSL certificate|certificate verif|server certificate|SSL_ERROR|CAfile/i,
    where: "the server's certificate is not trusted",
    hint: "Set NODE_EXTRA_CA_CERTS to a file with the server's certificate authority.",
  },
  {
    says: /returned error: 401|Authentication failed|could not read (?:Username|Password)|terminal prompts disabled/i,
    where: "the server rejected the job's credentials",
    hint: "The job's token may have expired. If it happens again, check the instance's clock and log.",
  },
  {
    says: /returned error: 30\d|unable to update url base from redirection|(?:HTTP|error:?) 30\d/i,
    where: "the server redirects to another address, which the executor does not follow",
    hint: "Set EXECUTOR_FRONTEND_URL to the instance's own address.",
  },
  {
    says: /returned error: (?:429|5\d\d)/,
    where: "the server responded, but not with the repository",
    hint: "Check the log of the instance: the fault is there or at the code host.",
  },
  {
    says: /resolve proxy|CONNECT tunnel failed|from proxy after CONNECT|returned error: 407|proxy connection failed/i,
    where: "the proxy does not lead to the server",
    hint: "Check HTTPS_PROXY and HTTP_PROXY, their user and password, and what the proxy allows; NO_PROXY lists hosts to contact directly.",
  },
  {
    says: /Could not resolve host|Failed to connect|Connection refused|timed out|Network is unreachable|No route to host|Couldn't connect/i,
    where: "the server cannot be reached over the network",
    hint: "Check name resolution, proxies and firewalls between this executor and the instance.",
  },
  {
    says: /early EOF|hung up unexpectedly|unexpected disconnect|Empty reply|Recv failure|transfer closed|RPC failed/i,
    where: "the connection was lost",
    hint: "Check the instance, and proxies that cut off long responses.",
  },
] as const;

function lastLines(stderr: string): string {
  const lines = stderr
    .split(/[\r\n]+/)
    .map((line) => line.trim())
    .filter(
      (line) =>
        line !== "" &&
        !/^(?:remote: )?(?:Counting|Compressing|Receiving|Resolving|Enumerating|Total|Updating)/.test(line),
    );
  return lines.slice(-4).join("; ").slice(-1000) || "no message";
}
