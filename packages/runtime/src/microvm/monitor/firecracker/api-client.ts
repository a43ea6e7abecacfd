import { connect, type Socket } from "node:net";
import { pause, readAtMost, startDeadline } from "@airlock/async";
import { formatDuration } from "@airlock/job";
import { Client } from "undici";
import { z } from "zod";
import type { Abortable } from "../../../contract/abortable.ts";
import { runtimeFailed } from "../../../contract/errors.ts";
import { errorCode } from "../../../host/error-code.ts";
import type * as api from "./api-types.ts";
import { printable } from "./monitor-output.ts";

/** Firecracker's own limit of a request's body. */
const maxRequestBytes = 51_200;
const maxReplyBytes = 65_536;
const answerMs = 10_000;
/** A snapshot writes the guest's whole memory. */
const snapshotMs = 120_000;
const connectPauseMs = 4;
/** Firecracker keeps connections open. So the client never closes an idle one. */
const keepAliveMs = 2 ** 31 - 1;

const Fault = z.object({ fault_message: z.string() });

/**
 * A client of the API of one Firecracker process. It makes one connection, before the guest runs, and never another: a
 * monitor that its guest has taken over could put a link to another service's socket in place of its own.
 */
export class FirecrackerApi implements AsyncDisposable {
  readonly #client: Client;

  private constructor(socket: Socket) {
    let isUsed = false;
    this.#client = new Client("http://localhost", {
      connect: (_options, callback) => {
        if (isUsed || socket.destroyed) return callback(new Error("the monitor closed its API"), null);
        isUsed = true;
        // undici does not send requests on a connection that is made before `connect` returns.
        setImmediate(callback, null, socket);
      },
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
    });
  }

  /** Waits until the process listens. The signal has to have a time limit: a process may never do so. */
  static async open(socketPath: string, { signal }: Abortable): Promise<FirecrackerApi> {
    for (;;) {
      signal.throwIfAborted();
      try {
        return new FirecrackerApi(await connectTo(socketPath));
      } catch (error) {
        if (!["ENOENT", "ECONNREFUSED"].includes(errorCode(error) ?? "")) throw error;
      }
      await pause(connectPauseMs, signal);
    }
  }

  putMachineConfig(body: api.MachineConfiguration, options: Abortable): Promise<void> {
    return this.#send("PUT", "/machine-config", body, options);
  }

  putBootSource(body: api.BootSource, options: Abortable): Promise<void> {
    return this.#send("PUT", "/boot-source", body, options);
  }

  putDrive(body: api.Drive, options: Abortable): Promise<void> {
    return this.#send("PUT", `/drives/${body.drive_id}`, body, options);
  }

  /** Replaces the file behind a drive of a running machine. */
  patchDrive(body: Pick<api.Drive, "drive_id" | "path_on_host">, options: Abortable): Promise<void> {
    return this.#send("PATCH", `/drives/${body.drive_id}`, body, options);
  }

  putNetworkInterface(body: api.NetworkInterface, options: Abortable): Promise<void> {
    return this.#send("PUT", `/network-interfaces/${body.iface_id}`, body, options);
  }

  putVsock(body: api.Vsock, options: Abortable): Promise<void> {
    return this.#send("PUT", "/vsock", body, options);
  }

  putEntropy(options: Abortable): Promise<void> {
    return this.#send("PUT", "/entropy", {}, options);
  }

  putBalloon(body: api.Balloon, options: Abortable): Promise<void> {
    return this.#send("PUT", "/balloon", body, options);
  }

  startInstance(options: Abortable): Promise<void> {
    return this.#send("PUT", "/actions", { action_type: "InstanceStart" }, options);
  }

  pause(options: Abortable): Promise<void> {
    return this.#send("PATCH", "/vm", { state: "Paused" }, options);
  }

  resume(options: Abortable): Promise<void> {
    return this.#send("PATCH", "/vm", { state: "Resumed" }, options);
  }

  createSnapshot(body: api.SnapshotFiles, options: Abortable): Promise<void> {
    return this.#send("PUT", "/snapshot/create", { snapshot_type: "Full", ...body }, options, snapshotMs);
  }

  /** Only for a process that was not configured. The process ends if this fails. */
  loadSnapshot(body: api.SnapshotLoad, options: Abortable): Promise<void> {
    return this.#send("PUT", "/snapshot/load", body, options, snapshotMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.destroy();
  }

  async #send(
    method: "PUT" | "PATCH",
    path: string,
    body: object,
    { signal }: Abortable,
    timeoutMs = answerMs,
  ): Promise<void> {
    const payload = JSON.stringify(body);
    const bytes = Buffer.byteLength(payload);
    if (bytes > maxRequestBytes) {
      throw runtimeFailed(`${method} ${path} needs ${bytes} bytes, but Firecracker takes at most ${maxRequestBytes}`);
    }
    const late = () =>
      runtimeFailed(`Firecracker did not answer ${method} ${path} within ${formatDuration(timeoutMs)}`);
    using deadline = startDeadline(timeoutMs, late, signal);
    const { statusCode, body: reply } = await this.#client.request({
      method,
      path,
      body: payload,
      headers: { "content-type": "application/json", accept: "application/json" },
      signal: deadline.signal,
    });
    const text = await readAtMost(reply, maxReplyBytes, () =>
      runtimeFailed(`Firecracker answered ${method} ${path} with more than ${maxReplyBytes} bytes`),
    );
    if (statusCode === 204) return;
    const reason = faultOf(text.toString());
    throw runtimeFailed(`Firecracker refused ${method} ${path} with status ${statusCode}: ${reason}`);
  }
}

function faultOf(text: string): string {
  try {
    return printable(Fault.parse(JSON.parse(text)).fault_message).trim();
  } catch {
    return printable(text.slice(0, 500)) || "no reason given";
  }
}

async function connectTo(path: string): Promise<Socket> {
  const socket = connect({ path });
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  socket.once("connect", () => resolve(socket)).once("error", reject);
  return await promise;
}
