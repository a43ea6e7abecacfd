import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { JobLiveEvent, JobView, LogEntryView } from "@airlock/api";
import { InstanceClient } from "../instance/instance-client.ts";

interface SeenRequest {
  readonly method: string;
  /** Relative to `/api/v1/`. */
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: unknown;
}

type Answer = (request: SeenRequest, response: ServerResponse) => void | Promise<void>;

/**
 * A small HTTP server that replaces an instance, for responses that a real one rarely gives: broken streams, refusals.
 */
export interface StubInstance extends AsyncDisposable {
  readonly url: string;
  readonly client: InstanceClient;
  readonly env: NodeJS.ProcessEnv;
  readonly requests: readonly SeenRequest[];
}

/** `answers` maps `METHOD path` to a handler; everything else gets 404. */
export async function stubInstance(answers: Readonly<Record<string, Answer>>): Promise<StubInstance> {
  const requests: SeenRequest[] = [];
  const server = createServer(async (request, response) => {
    const body = await text(request);
    const path = (request.url ?? "").replace(/^\/api\/v1\//, "");
    const seen = { method: request.method ?? "", path, headers: request.headers, body: body && JSON.parse(body) };
    requests.push(seen);
    const answer = answers[`${seen.method} ${path}`];
    if (answer) await answer(seen, response);
    else refuse(response, 404, { code: "not-found", message: `${path} not found` });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    url,
    client: new InstanceClient({ url: new URL(`${url}/`), token: "secret", source: "AIRLOCK_TOKEN" }),
    env: { AIRLOCK_URL: url, AIRLOCK_TOKEN: "secret" },
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

export function answerJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
}

export function refuse(
  response: ServerResponse,
  status: number,
  error: { code: string; message: string; hint?: string; issues?: readonly string[] },
): void {
  answerJson(response, { error }, status);
}

/** Writes server-sent events and leaves the stream open. */
export function sendEvents(response: ServerResponse, events: readonly JobLiveEvent[]): void {
  if (!response.headersSent) response.writeHead(200, { "content-type": "text/event-stream" });
  for (const event of events) {
    const id = event.kind === "chunk" ? `id: ${event.attempt}.${event.entryId}.${event.offset}\n` : "";
    response.write(`${id}data: ${JSON.stringify(event)}\n\n`);
  }
}

export function chunk(
  offset: number,
  data: string | Buffer,
  options: { entryId?: number; stream?: "stdout" | "stderr"; attempt?: number } = {},
): JobLiveEvent {
  const { entryId = 1, stream = "stdout", attempt = 1 } = options;
  return { kind: "chunk", attempt, entryId, offset, stream, data: Buffer.from(data).toString("base64") };
}

export function entry(overrides: Partial<LogEntryView> = {}): LogEntryView {
  return {
    attempt: 1,
    entryId: 1,
    key: "step.docker.main",
    command: ["/bin/sh"],
    startedAt: "2026-08-01T10:00:00.000Z",
    exitCode: null,
    durationMs: null,
    length: 0,
    notes: 0,
    ...overrides,
  };
}

export function jobView(overrides: Partial<JobView> = {}): JobView {
  return {
    id: 7,
    queue: "default",
    namespace: "default",
    state: "processing",
    repository: null,
    revision: "HEAD",
    commit: null,
    attempt: 1,
    executor: "executor-1",
    queuedAt: "2026-08-01T10:00:00.000Z",
    startedAt: "2026-08-01T10:00:01.000Z",
    finishedAt: null,
    failureReason: null,
    failureMessage: null,
    cancelRequested: false,
    stepKeys: ["main"],
    obstacle: null,
    priority: 0,
    checkout: { depth: 1, tags: false, paths: [] },
    labels: {},
    resources: {},
    egress: "none",
    timeoutMs: null,
    maxWaitMs: null,
    outputs: [],
    diff: false,
    upload: false,
    services: [],
    steps: [
      {
        key: "main",
        image: "alpine:3.20",
        commands: ["true"],
        dir: "",
        secrets: [],
        state: "running",
        exitCode: null,
        durationMs: null,
      },
    ],
    exitCode: null,
    attempts: [],
    entries: [],
    artifacts: [],
    explanation: { code: "running", message: "Running on executor executor-1 for 1s." },
    warnings: [],
    ...overrides,
  };
}

export const completedJob = jobView({
  state: "completed",
  exitCode: 0,
  finishedAt: "2026-08-01T10:00:04.200Z",
  explanation: { code: "finished", message: "Completed." },
});

export const failedJob = jobView({
  state: "failed",
  exitCode: 3,
  finishedAt: "2026-08-01T10:00:04.200Z",
  failureReason: "step-failed",
  failureMessage: 'step "main" exited with 3',
  explanation: { code: "finished", message: "Failed." },
});
