import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";

export const sinkSecret = "bench-executor-secret-token";
const printKey = "step.docker.print";

export interface PrintJob {
  readonly image: string;
  /** Shell lines that run before the measurement starts. */
  readonly prepare: readonly string[];
  readonly print: string;
  readonly secrets: readonly string[];
}

export interface PrintTime {
  /** Time from the arrival of the step's first output to that of its last. */
  readonly ms: number;
  /** Size of the request bodies as received, base64 within JSON. */
  readonly bodyBytes: number;
}

/**
 * An instance that handles one job at a time and discards its log. Its own cost is negligible compared with the
 * executor's.
 */
export class LogSinkInstance implements AsyncDisposable {
  readonly #server = createServer((request, response) => {
    void this.#answer(request).then(
      ({ status, body }) => response.writeHead(status).end(body),
      () => response.destroy(),
    );
  });
  #next: string | undefined;
  #id = 0;
  #firstAt = 0;
  #lastAt = 0;
  #bodyBytes = 0;
  #ended: (end: string) => void = () => {};

  static async start(): Promise<LogSinkInstance> {
    const instance = new LogSinkInstance();
    await new Promise<void>((resolve) => instance.#server.listen(0, "127.0.0.1", resolve));
    return instance;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async run(job: PrintJob): Promise<PrintTime> {
    this.#id += 1;
    this.#firstAt = 0;
    this.#bodyBytes = 0;
    const step = (key: string, commands: readonly string[]) => ({ key, image: job.image, commands, dir: "", env: [] });
    this.#next = JSON.stringify({
      version: 2,
      id: this.#id,
      token: "0123456789abcdef0123456789abcdef01234567",
      repositoryName: "",
      commit: "",
      files: {},
      dockerSteps: [step("prepare", job.prepare), step("print", [job.print])],
      cliSteps: null,
      redactedValues: Object.fromEntries(job.secrets.map((value, index) => [value, `[secret ${index}]`])),
      dockerAuthConfig: {},
      airlock: {
        attempt: 1,
        leaseMs: 60_000,
        heartbeatIntervalMs: 5000,
        timeoutMs: null,
        resources: {},
        egress: "none",
        capabilities: ["attempts", "log-batch", "results"],
        shell: "strict",
      },
    });
    const end = await new Promise<string>((resolve) => {
      this.#ended = resolve;
    });
    if (!end.startsWith("markComplete")) throw new Error(`the job did not complete: ${end}`);
    return { ms: this.#lastAt - this.#firstAt, bodyBytes: this.#bodyBytes };
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; body?: string }> {
    const route = request.url?.split("/").at(-1) ?? "";
    if (route === "logs") return await this.#takeLog(request);
    let text = "";
    for await (const bytes of request) text += String(bytes);
    if (route === "dequeue") {
      const body = this.#next;
      this.#next = undefined;
      return body === undefined ? { status: 204 } : { status: 200, body };
    }
    if (route === "heartbeat") {
      const { jobIds } = JSON.parse(text) as { jobIds: number[] };
      return { status: 200, body: JSON.stringify({ knownIds: jobIds.map(String), cancelIds: [] }) };
    }
    if (route.startsWith("mark")) this.#ended(`${route} ${text}`);
    return { status: route.startsWith("mark") ? 204 : 404 };
  }

  async #takeLog(request: IncomingMessage): Promise<{ status: number }> {
    let size = 0;
    for await (const part of request) {
      const bytes = part as Buffer;
      size += bytes.length;
      if (this.#firstAt === 0 && bytes.includes(printKey)) this.#firstAt = performance.now();
    }
    if (this.#firstAt > 0) this.#bodyBytes += size;
    // Small batches only open or end entries.
    if (size > 65_536) this.#lastAt = performance.now();
    return { status: 204 };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
