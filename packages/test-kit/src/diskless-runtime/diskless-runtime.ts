import { createReadStream } from "node:fs";
import { AirlockError } from "@airlock/job";
import type {
  Abortable,
  Collected,
  ReadOnlyFile,
  Runtime,
  RuntimeDescription,
  Sandbox,
  SandboxPlan,
  SandboxStep,
  StepOptions,
  StepStatus,
  TreeEntry,
  WalkOptions,
  WorkspaceFile,
} from "@airlock/runtime";
import { onlyMachinesHaveDocker, refuseDocker, refuseServices, SandboxCalls } from "@airlock/runtime";
import { walkBeneath } from "@airlock/runtime/host-disk";
import { AgentConnection, type CallOptions } from "./agent-connection.ts";
import type { Call, SentEntry, SentFile, StagedEntry } from "./messages.ts";
import { type Agent, startAgent } from "./start-agent.ts";

/** The agent carries files, output and results, but no connections. */
const servicesProblem = "The agent of this runtime carries no connections: use a runtime on this host.";

export interface DisklessRuntimeOptions {
  /** Absolute path of crun, runc or runsc. */
  readonly runtimePath: string;
  readonly allowHostImage: boolean;
}

/**
 * A runtime whose sandboxes share no directory with the host. An agent creates them in another mount namespace, with
 * its own root file system in memory. All data passes over two pipes. It exists to prove that the contract fits
 * runtimes without a shared disk, such as a virtual machine or a pod on another node. Needs root.
 */
export class DisklessRuntime implements Runtime {
  readonly name = "diskless";
  readonly #agent: Agent;
  readonly #connection: AgentConnection;

  private constructor(agent: Agent) {
    this.#agent = agent;
    this.#connection = new AgentConnection(agent);
  }

  static async start(options: DisklessRuntimeOptions): Promise<DisklessRuntime> {
    const runtime = new DisklessRuntime(await startAgent());
    try {
      await runtime.#connection.call({ method: "start", ...options }, { signal: AbortSignal.timeout(startMs) });
      return runtime;
    } catch (error) {
      await runtime.close();
      throw error;
    }
  }

  /** Loads the images of a `docker save` archive. */
  async loadImages(archivePath: string, { signal }: Abortable): Promise<void> {
    async function* staged(): AsyncGenerator<StagedEntry | Buffer> {
      yield { of: "archive" };
      for await (const bytes of createReadStream(archivePath)) yield bytes as Buffer;
    }
    await this.#connection.call({ method: "loadImages" }, { signal, staged: staged() });
  }

  async describe({ signal }: Abortable): Promise<RuntimeDescription> {
    const description = (await this.#connection.call({ method: "describe" }, { signal })) as RuntimeDescription;
    // The owner does not matter, because files are sent, not shared.
    return { ...description, checkoutOwner: null, servicesProblem };
  }

  async createSandbox(plan: SandboxPlan, { signal }: Abortable): Promise<Sandbox> {
    const { id, owner, limits, egress, registryAuth = {}, workspace, onEgressDenied, services = [] } = plan;
    refuseServices(services, servicesProblem);
    refuseDocker(plan, onlyMachinesHaveDocker);
    const notes = (await this.#connection.call(
      {
        method: "createSandbox",
        plan: {
          ...{ id, owner, limits, egress, registryAuth },
          hasCheckout: workspace.checkout !== null,
          readOnlyFiles: workspace.readOnlyFiles.map(sent),
        },
      },
      { signal, staged: stagedWorkspace(workspace, signal) },
    )) as readonly string[];
    return new DisklessSandbox(this.#connection, id, notes, onEgressDenied);
  }

  async collect({ owner, keep, signal }: Parameters<Runtime["collect"]>[0]): Promise<Collected> {
    const call = { method: "collect", owner, keep: [...keep] } as const;
    return (await this.#connection.call(call, { signal })) as Collected;
  }

  async evictImages({ signal }: Abortable): Promise<readonly string[]> {
    return (await this.#connection.call({ method: "evictImages" }, { signal })) as readonly string[];
  }

  async close(): Promise<void> {
    await this.#agent[Symbol.asyncDispose]();
  }
}

const startMs = 60_000;

class DisklessSandbox implements Sandbox {
  readonly id: string;
  readonly notes: readonly string[];
  readonly #connection: AgentConnection;
  readonly #onEgressDenied: SandboxPlan["onEgressDenied"];
  readonly #calls = new SandboxCalls();

  constructor(
    connection: AgentConnection,
    id: string,
    notes: readonly string[],
    onEgressDenied: SandboxPlan["onEgressDenied"],
  ) {
    this.#connection = connection;
    this.id = id;
    this.notes = notes;
    this.#onEgressDenied = onEgressDenied;
  }

  async prepareImage(image: string, { signal, progress }: Parameters<Sandbox["prepareImage"]>[1]): Promise<void> {
    this.#calls.require("prepareImage", ["running"]);
    await this.#call(
      { method: "prepareImage", sandbox: this.id, image },
      { signal, onMessage: (message) => message.type === "progress" && progress(message.text) },
    );
  }

  async runStep(step: SandboxStep, { signal, output, nextImage }: StepOptions): Promise<StepStatus> {
    signal.throwIfAborted();
    using _ = this.#calls.begin("runStep", ["running"]);
    const call = {
      method: "runStep",
      sandbox: this.id,
      step: { ...step, files: step.files.map(sent) },
      ...(nextImage === undefined ? {} : { nextImage }),
    } as const;
    return (await this.#call(call, {
      signal,
      onOutput: output,
      onMessage: (message) => message.type === "denied" && this.#onEgressDenied?.(message.denial),
    })) as StepStatus;
  }

  async putFiles(files: readonly WorkspaceFile[], { signal }: Abortable): Promise<void> {
    using _ = this.#calls.begin("putFiles", ["running"]);
    await this.#call({ method: "putFiles", sandbox: this.id }, { signal, staged: stagedFiles(files) });
  }

  async readFile(path: string, { maximumBytes, signal }: Abortable & { maximumBytes: number }): Promise<Buffer | null> {
    using _ = this.#calls.begin("readFile", ["running", "stopped"]);
    const content = await this.#call({ method: "readFile", sandbox: this.id, path, maximumBytes }, { signal });
    return content === null ? null : Buffer.from(content as string, "base64");
  }

  async removeFile(path: string, { signal }: Abortable): Promise<void> {
    using _ = this.#calls.begin("removeFile", ["running"]);
    await this.#call({ method: "removeFile", sandbox: this.id, path }, { signal });
  }

  async *walk<State>(path: string, options: WalkOptions<State>): AsyncGenerator<TreeEntry<State>> {
    using _ = this.#calls.begin("walk", ["running", "stopped"]);
    const base = path.split("/").filter((name) => name !== "" && name !== ".");
    if (base.includes("..")) return;
    const start = Buffer.from(base.join("/")).toString("latin1");
    yield* this.#walk(start, "", options.start, 0, { entries: options.maximumEntries }, options);
  }

  async *#walk<State>(
    base: string,
    within: string,
    state: State,
    depth: number,
    budget: { entries: number },
    options: WalkOptions<State>,
  ): AsyncGenerator<TreeEntry<State>> {
    const { signal } = options;
    const call = {
      method: "list",
      sandbox: this.id,
      path: join(base, within),
      maximumEntries: budget.entries,
    } as const;
    const entries = (await this.#call(call, { signal })) as readonly SentEntry[];
    budget.entries -= entries.length;
    if (budget.entries < 0) {
      const what = `there are more than ${options.maximumEntries} files and directories to look at`;
      throw new AirlockError(what, { code: "too-many-files" });
    }
    for (const { name, stats } of entries) {
      const isDirectory = stats.kind === "directory";
      const next = options.advance(state, Buffer.from(name, "latin1"), isDirectory);
      if (next === null) continue;
      const path = join(within, name);
      yield {
        path: Buffer.from(path, "latin1"),
        stats,
        state: next,
        contents: () => this.#contents(join(base, path), signal),
        readLink: async () => {
          const target = await this.#call({ method: "readLink", sandbox: this.id, path: join(base, path) }, { signal });
          return Buffer.from(target as string, "latin1");
        },
      };
      this.#calls.require("walk", ["running", "stopped"]);
      if (isDirectory && depth < options.maximumDepth) {
        yield* this.#walk(base, path, next, depth + 1, budget, options);
      }
    }
  }

  /** The agent sends the next piece only after the previous one was taken. */
  async *#contents(path: string, signal: AbortSignal): AsyncGenerator<Buffer> {
    const over = new AbortController();
    let piece = Promise.withResolvers<{ readonly bytes: Buffer; readonly taken: () => void } | null>();
    const ended = this.#call(
      { method: "contents", sandbox: this.id, path },
      {
        signal: AbortSignal.any([signal, over.signal]),
        onOutput: (_, bytes) => {
          const { promise, resolve } = Promise.withResolvers<void>();
          piece.resolve({ bytes, taken: resolve });
          return promise;
        },
      },
    ).then(
      () => piece.resolve(null),
      (error: unknown) => piece.reject(error),
    );
    try {
      for (let next = await piece.promise; next !== null; next = await piece.promise) {
        yield next.bytes;
        piece = Promise.withResolvers();
        next.taken();
      }
    } finally {
      over.abort(new Error("nothing more is wanted of the file"));
      piece.promise.catch(() => {});
      await ended;
    }
  }

  async stop({ signal }: Abortable): Promise<void> {
    if (this.#calls.isDisposed) return;
    this.#calls.stop();
    await this.#call({ method: "stop", sandbox: this.id }, { signal });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#calls.dispose();
    await this.#call({ method: "dispose", sandbox: this.id }, { signal: new AbortController().signal });
  }

  #call(call: Call, options: CallOptions): Promise<unknown> {
    return this.#connection.call(call, options);
  }
}

function join(directory: string, name: string): string {
  return directory === "" || name === "" ? directory + name : `${directory}/${name}`;
}

function sent({ content, ...file }: ReadOnlyFile): SentFile {
  return { ...file, content: Buffer.from(content).toString("base64") };
}

async function* stagedWorkspace(
  { checkout, files }: SandboxPlan["workspace"],
  signal: AbortSignal,
): AsyncGenerator<StagedEntry | Buffer> {
  if (checkout !== null) {
    yield { of: "checkout", kind: "directory", path: "", mode: 0o755 };
    const everything = {
      start: true,
      advance: () => true,
      maximumEntries: Number.MAX_SAFE_INTEGER,
      maximumDepth: 1000,
      signal,
    };
    for await (const entry of walkBeneath(checkout, "", everything)) {
      const path = entry.path.toString("latin1");
      const { kind, mode, modifiedMs } = entry.stats;
      if (kind === "directory") yield { of: "checkout", kind, path, mode };
      if (kind === "link") yield { of: "checkout", kind, path, target: (await entry.readLink()).toString("latin1") };
      if (kind !== "file") continue;
      yield { of: "checkout", kind, path, mode, modifiedMs };
      yield* entry.contents();
    }
  }
  yield* stagedFiles(files);
}

async function* stagedFiles(files: readonly WorkspaceFile[]): AsyncGenerator<StagedEntry | Buffer> {
  for (const { path, content, modifiedAt } of files) {
    yield { of: "files", path, modifiedMs: modifiedAt?.getTime() ?? null };
    if (Buffer.isBuffer(content)) yield content;
    else yield* content;
  }
}
