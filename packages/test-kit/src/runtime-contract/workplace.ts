import { randomBytes } from "node:crypto";
import type {
  EgressDenial,
  ReadOnlyFile,
  Runtime,
  Sandbox,
  SandboxLimits,
  SandboxPlan,
  StepOutput,
  StepStatus,
  WorkspacePlan,
} from "@airlock/runtime";
import { afterAll } from "vitest";
import { temporaryDirectory } from "../host/temporary-directory.ts";

export interface WorkplaceOptions {
  readonly owner: string;
  /** Default: a new one. */
  readonly id?: string;
  /** Image of steps that don't name one. */
  readonly image: string;
  /** Overrides of the defaults: one core, 256 MiB and 200 processes. */
  readonly limits?: Partial<SandboxLimits>;
  /** Default: `none`. */
  readonly egress?: SandboxPlan["egress"];
  readonly services?: NonNullable<SandboxPlan["services"]>;
  /** Whether steps get a Docker daemon. Default: false. */
  readonly docker?: boolean;
  readonly dockerDaemon?: NonNullable<SandboxPlan["dockerDaemon"]>;
  readonly onEgressDenied?: (denial: EgressDenial) => void;
  readonly onWait?: (reason: string) => void;
  readonly registryAuth?: NonNullable<SandboxPlan["registryAuth"]>;
  /** Default: an empty workspace. */
  readonly workspace?: Partial<WorkspacePlan>;
  /** Whether each step announces that another one with the same image follows. Default: false. */
  readonly announcesNextStep?: boolean;
  /** Default: never aborted. */
  readonly signal?: AbortSignal;
}

export interface StartOptions {
  readonly key?: string;
  readonly image?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDirectory?: string;
  /** Files besides the script. */
  readonly files?: readonly ReadOnlyFile[];
  readonly nextImage?: string;
  readonly signal?: AbortSignal;
  readonly output?: StepOutput;
}

export interface Finished {
  readonly status: StepStatus;
  readonly stdout: string;
  readonly stderr: string;
  readonly stdoutBytes: Buffer;
}

/** A sandbox with a workspace, used as an executor would. */
export interface Workplace extends AsyncDisposable {
  readonly id: string;
  readonly sandbox: Sandbox;
  /** Runs a script to its end and returns its output. */
  run(script: string, options?: StartOptions): Promise<Finished>;
  start(script: string, options?: StartOptions): Promise<StepStatus>;
  /** Writes a file into the workspace. */
  put(path: string, content: string | Buffer): Promise<void>;
  /** Reads a file of the workspace. `null`: it does not exist. */
  read(path: string): Promise<string | null>;
  /** Names in a directory of the workspace. */
  list(path?: string): Promise<readonly string[]>;
}

const maximumBytes = 16 * 2 ** 20;

export async function openWorkplace(runtime: Runtime, options: WorkplaceOptions): Promise<Workplace> {
  const signal = options.signal ?? new AbortController().signal;
  const { id = `place-${randomBytes(6).toString("hex")}`, owner, onEgressDenied, registryAuth } = options;
  const sandbox = await runtime.createSandbox(
    {
      id,
      owner,
      workspace: { checkout: null, files: [], readOnlyFiles: [], ...options.workspace },
      limits: { cpus: 1, memoryBytes: 256 * 2 ** 20, pids: 200, ...options.limits },
      egress: options.egress ?? { kind: "none" },
      ...(options.services ? { services: options.services } : {}),
      ...(options.docker ? { docker: true } : {}),
      ...(options.dockerDaemon ? { dockerDaemon: options.dockerDaemon } : {}),
      ...(onEgressDenied ? { onEgressDenied } : {}),
      ...(options.onWait ? { onWait: options.onWait } : {}),
      ...(registryAuth ? { registryAuth } : {}),
    },
    { signal },
  );
  let steps = 0;
  async function start(script: string, step: StartOptions = {}): Promise<StepStatus> {
    steps += 1;
    const key = step.key ?? `step.${steps}`;
    const image = step.image ?? options.image;
    const nextImage = step.nextImage ?? (options.announcesNextStep ? image : undefined);
    await sandbox.prepareImage(image, { signal: step.signal ?? signal, progress: () => {} });
    return await sandbox.runStep(
      {
        key,
        image,
        files: [{ path: `${key}.sh`, content: script, executable: true }, ...(step.files ?? [])],
        script: `/airlock/${key}.sh`,
        workingDirectory: step.workingDirectory ?? "/data",
        env: step.env ?? {},
      },
      {
        signal: step.signal ?? signal,
        output: step.output ?? (() => {}),
        ...(nextImage === undefined ? {} : { nextImage }),
      },
    );
  }
  return {
    id,
    sandbox,
    start,
    async run(script, step) {
      const printed: { stdout: Buffer[]; stderr: Buffer[] } = { stdout: [], stderr: [] };
      const status = await start(script, { ...step, output: (stream, bytes) => void printed[stream].push(bytes) });
      const stdoutBytes = Buffer.concat(printed.stdout);
      return { status, stdoutBytes, stdout: stdoutBytes.toString(), stderr: Buffer.concat(printed.stderr).toString() };
    },
    async put(path, content) {
      await sandbox.putFiles([{ path, content: Buffer.from(content), modifiedAt: undefined }], { signal });
    },
    async read(path) {
      return (await sandbox.readFile(path, { signal, maximumBytes }))?.toString() ?? null;
    },
    async list(path = "") {
      const names: string[] = [];
      const walk = sandbox.walk<true>(path, {
        start: true,
        advance: () => true,
        maximumEntries: 100_000,
        maximumDepth: 0,
        signal,
      });
      for await (const entry of walk) names.push(entry.path.toString());
      return names;
    },
    [Symbol.asyncDispose]: () => sandbox[Symbol.asyncDispose](),
  };
}

/**
 * Creates a directory for the workspaces of a test file's runtimes. Removed after the file's last test. Call it at the
 * top of the file.
 */
export async function workspacesOfTests(): Promise<{ readonly dir: string }> {
  const directory = await temporaryDirectory("airlock-workspaces-");
  afterAll(() => directory[Symbol.asyncDispose]());
  return { dir: directory.path };
}
