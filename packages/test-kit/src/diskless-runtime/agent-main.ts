// The agent of the diskless runtime. It runs in a mount namespace with its own root file system and shares no directory
// with the tests on the host. It receives everything in frames on its stdin.
import { chmod, mkdir, open, rm, symlink, utimes } from "node:fs/promises";
import { dirname, join } from "node:path";
import { onAbort } from "@airlock/async";
import { AirlockError, errorMessage } from "@airlock/job";
import type { Sandbox, TreeEntry, WorkspaceFile } from "@airlock/runtime";
import { createOciRuntime, type OciRuntime } from "@airlock/runtime/oci";
import { FrameWriter, readFrames } from "./frames.ts";
import type { Call, Message, SentEntry, SentError, SentFile, StagedEntry } from "./messages.ts";

const stateDir = "/airlock-agent";
const writer = new FrameWriter(process.stdout);
const sandboxes = new Map<string, { readonly sandbox: Sandbox; readonly staging: string }>();
const calls = new Map<number, { readonly abort: AbortController; taken: () => void }>();
const staged = new Map<number, Staging>();
let runtime: OciRuntime | undefined;

interface Staging {
  readonly dir: string;
  readonly files: { readonly path: string; readonly file: string; readonly modifiedAt: Date | undefined }[];
  /** Sets mode and times of the file that is currently being written. */
  finish: () => Promise<void>;
  append: (bytes: Buffer) => Promise<void>;
}

for await (const { message, body } of readFrames(process.stdin)) await receive(message, body);
// The host process has gone, so end all of its jobs.
for (const { abort } of calls.values()) abort.abort(new Error("the host has gone"));
for (const { sandbox } of sandboxes.values()) await sandbox[Symbol.asyncDispose]();
await runtime?.close();
process.exit(0);

async function receive(message: Message, body: Buffer): Promise<void> {
  switch (message.type) {
    case "stage":
      return await stage(stagingOf(message.id), message.entry);
    case "staged-bytes":
      return await stagingOf(message.id).append(body);
    case "call":
      await staged.get(message.id)?.finish();
      void answer(message.id, message.call);
      return;
    case "abort":
      calls.get(message.id)?.abort.abort(new Error("aborted"));
      return;
    case "taken":
      calls.get(message.id)?.taken();
      return;
    default:
      throw new Error(`the agent does not take ${message.type}`);
  }
}

async function answer(id: number, call: Call): Promise<void> {
  const abort = new AbortController();
  calls.set(id, { abort, taken: () => {} });
  try {
    const value = await perform(id, call, abort.signal);
    await writer.send({ type: "result", id, value: value ?? null });
  } catch (error) {
    await writer.send({ type: "failure", id, error: sentError(error) });
  } finally {
    calls.delete(id);
    staged.delete(id);
  }
}

async function perform(id: number, call: Call, signal: AbortSignal): Promise<unknown> {
  switch (call.method) {
    case "start":
      runtime = await createOciRuntime({ stateDir: join(stateDir, "state"), ...call });
      return null;
    case "loadImages":
      return await started().loadImages(join(stagingOf(id).dir, "archive"), { signal });
    case "describe":
      return await started().describe({ signal });
    case "collect":
      return await started().collect({ owner: call.owner, keep: new Set(call.keep), signal });
    case "evictImages":
      return await started().evictImages({ signal });
    case "createSandbox": {
      const staging = stagingOf(id);
      const { hasCheckout, readOnlyFiles, ...plan } = call.plan;
      const checkout = hasCheckout ? join(staging.dir, "checkout") : null;
      const workspace = { checkout, files: stagedFiles(staging), readOnlyFiles: readOnlyFiles.map(received) };
      const onEgressDenied = (denial: Extract<Message, { type: "denied" }>["denial"]) =>
        void writer.send({ type: "denied", id, denial });
      const sandbox = await started().createSandbox({ ...plan, workspace, onEgressDenied }, { signal });
      sandboxes.set(plan.id, { sandbox, staging: staging.dir });
      return sandbox.notes;
    }
    case "dispose": {
      const held = sandboxes.get(call.sandbox);
      await held?.sandbox[Symbol.asyncDispose]();
      if (held) await rm(held.staging, { recursive: true, force: true });
      sandboxes.delete(call.sandbox);
      return null;
    }
    default: {
      const { sandbox } = sandboxes.get(call.sandbox) ?? {};
      if (!sandbox) throw new AirlockError("the sandbox is disposed", { code: "runtime", reason: "runtime" });
      return await performIn(sandbox, id, call, signal);
    }
  }
}

async function performIn(
  sandbox: Sandbox,
  id: number,
  call: Extract<Call, { readonly sandbox: string }>,
  signal: AbortSignal,
): Promise<unknown> {
  switch (call.method) {
    case "prepareImage":
      return await sandbox.prepareImage(call.image, {
        signal,
        progress: (text) => void writer.send({ type: "progress", id, text }),
      });
    case "runStep":
      return await sandbox.runStep(
        { ...call.step, files: call.step.files.map(received) },
        {
          signal,
          // Without a signal: also deliver what an aborted step prints before it ends.
          output: (stream, bytes) => deliver(id, { type: "output", id, stream }, bytes, null),
          ...(call.nextImage === undefined ? {} : { nextImage: call.nextImage }),
        },
      );
    case "putFiles":
      return await sandbox.putFiles(stagedFiles(stagingOf(id)), { signal });
    case "readFile":
      return (await sandbox.readFile(call.path, { signal, maximumBytes: call.maximumBytes }))?.toString("base64");
    case "removeFile":
      return await sandbox.removeFile(call.path, { signal });
    case "list": {
      const entries: SentEntry[] = [];
      for await (const { path, stats } of walkDirectory(sandbox, call.path, signal)) {
        // One entry beyond the maximum tells the host that there are too many.
        if (entries.push({ name: lastName(path), stats }) > call.maximumEntries) break;
      }
      return entries;
    }
    case "contents":
      return await withEntry(sandbox, call.path, signal, async (entry) => {
        for await (const bytes of entry.contents()) {
          await deliver(id, { type: "output", id, stream: "stdout" }, bytes, signal);
        }
      });
    case "readLink":
      return await withEntry(sandbox, call.path, signal, async (entry) => (await entry.readLink()).toString("latin1"));
    case "stop":
      return await sandbox.stop({ signal });
    default:
      throw new Error(`the agent does not know ${call.method}`);
  }
}

/** Sends output and waits until the host has taken it (backpressure) or the signal aborts. */
async function deliver(id: number, message: Message, bytes: Buffer, signal: AbortSignal | null): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const call = calls.get(id);
  if (!call) return;
  call.taken = resolve;
  using _ = signal ? onAbort(signal, () => reject(signal.reason)) : null;
  await writer.send(message, bytes);
  await promise;
}

/** Lists a directory of the workspace, even if its path is not valid UTF-8. */
function walkDirectory(sandbox: Sandbox, path: string, signal: AbortSignal): AsyncIterable<TreeEntry<number>> {
  const names = path === "" ? [] : path.split("/");
  return only(
    sandbox.walk<number>("", {
      start: 0,
      advance: (depth, name, isDirectory) => {
        if (depth >= names.length) return depth + 1;
        return isDirectory && name.toString("latin1") === names[depth] ? depth + 1 : null;
      },
      maximumEntries: Number.MAX_SAFE_INTEGER,
      maximumDepth: names.length,
      signal,
    }),
    names.length + 1,
  );
}

async function* only(walk: AsyncIterable<TreeEntry<number>>, depth: number): AsyncGenerator<TreeEntry<number>> {
  for await (const entry of walk) if (entry.state === depth) yield entry;
}

async function withEntry<T>(
  sandbox: Sandbox,
  path: string,
  signal: AbortSignal,
  use: (entry: TreeEntry<number>) => Promise<T>,
): Promise<T> {
  const slash = path.lastIndexOf("/");
  for await (const entry of walkDirectory(sandbox, slash < 0 ? "" : path.slice(0, slash), signal)) {
    if (entry.path.toString("latin1") === path) return await use(entry);
  }
  throw new AirlockError("it is not there any more", { code: "not-a-file" });
}

function lastName(path: Buffer): string {
  return path.subarray(path.lastIndexOf(0x2f) + 1).toString("latin1");
}

function stagingOf(id: number): Staging {
  const known = staged.get(id);
  if (known) return known;
  const nothing = async () => {};
  const staging: Staging = { dir: join(stateDir, "staging", String(id)), files: [], finish: nothing, append: nothing };
  staged.set(id, staging);
  return staging;
}

async function stage(staging: Staging, entry: StagedEntry): Promise<void> {
  await staging.finish();
  staging.finish = async () => {};
  const place = (name: string) => Buffer.from(join(staging.dir, "checkout", name), "latin1");
  switch (entry.of) {
    case "archive":
      return await beginFile(staging, join(staging.dir, "archive"), async () => {});
    case "files": {
      const file = join(staging.dir, "files", String(staging.files.length));
      const modifiedAt = entry.modifiedMs === null ? undefined : new Date(entry.modifiedMs);
      staging.files.push({ path: entry.path, file, modifiedAt });
      return await beginFile(staging, file, async () => {});
    }
    case "checkout":
      if (entry.kind === "directory") {
        await mkdir(place(entry.path), { recursive: true });
        return await chmod(place(entry.path), entry.mode);
      }
      if (entry.kind === "link") return await symlink(Buffer.from(entry.target, "latin1"), place(entry.path));
      return await beginFile(staging, place(entry.path), async () => {
        await chmod(place(entry.path), entry.mode);
        await utimes(place(entry.path), entry.modifiedMs / 1000, entry.modifiedMs / 1000);
      });
  }
}

async function beginFile(staging: Staging, path: string | Buffer, complete: () => Promise<void>): Promise<void> {
  if (typeof path === "string") await mkdir(dirname(path), { recursive: true });
  const file = await open(path, "wx");
  staging.append = async (bytes) => void (await file.writeFile(bytes));
  staging.finish = async () => {
    await file.close();
    await complete();
  };
}

function stagedFiles({ files }: Staging): WorkspaceFile[] {
  return files.map(({ path, file, modifiedAt }) => ({ path, modifiedAt, content: readAll(file) }));
}

async function* readAll(path: string): AsyncGenerator<Buffer> {
  await using file = await open(path);
  for await (const bytes of file.createReadStream({ autoClose: false })) yield bytes as Buffer;
}

function received({ content, ...file }: SentFile) {
  return { ...file, content: Buffer.from(content, "base64") };
}

function started(): OciRuntime {
  if (!runtime) throw new Error("the agent has not been started");
  return runtime;
}

function sentError(error: unknown): SentError {
  const { code = null, reason = null, hint = null } = error instanceof AirlockError ? error : {};
  return { message: errorMessage(error), code, reason, hint };
}
