import { leastResources } from "@airlock/job";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { z } from "zod";
import * as api from "./index.ts";

const numRuns = Number(process.env.AIRLOCK_FUZZ_RUNS ?? 60);
const text = fc.string({ unit: "grapheme", minLength: 1, maxLength: 12 }).filter((value) => !value.includes("\0"));
/** Short text without hidden characters, as labels and names must be. */
const label = text.filter((value) => !/[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/u.test(value));
/** Names of spaces alone are refused. */
const executorName = label.filter((value) => /\S/.test(value));
const id = fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER });
const ordinal = fc.integer({ min: 1, max: 2 ** 31 - 1 });
const count = fc.nat();
const time = fc
  .date({ min: new Date("2000-01-01T00:00:00Z"), max: new Date("2100-01-01T00:00:00Z"), noInvalidDate: true })
  .map((date) => date.toISOString());
const name = fc.stringMatching(/^[a-z][a-z0-9]{0,10}$/);
const wireId = fc.oneof(id, id.map(String));
const partly = <T extends object>(shape: { [Key in keyof T]: fc.Arbitrary<T[Key]> }, required: (keyof T)[]) =>
  fc.record(shape, { requiredKeys: required });

const ofJob = { executorName, jobId: wireId };
const entry = {
  ...ofJob,
  key: label,
  command: fc.oneof(fc.array(text, { maxLength: 4 }), fc.constant(null)),
  startTime: time,
  exitCode: fc.oneof(fc.integer({ min: -1, max: 255 }), fc.constant(null)),
  out: text,
  durationMs: count,
};
const step = fc.record({
  key: label,
  state: fc.constantFrom(...api.stepStates),
  exitCode: fc.oneof(fc.nat(255), fc.constant(null)),
  durationMs: fc.oneof(count, fc.constant(null)),
});
const logEvent = fc.oneof(
  fc.record({ kind: fc.constant("open"), entryId: ordinal, key: label, command: fc.array(text), startTime: time }),
  fc.record({
    kind: fc.constant("chunk"),
    entryId: ordinal,
    offset: fc.maxSafeNat(),
    stream: fc.constantFrom("stdout", "stderr"),
    data: fc.uint8Array({ minLength: 1, maxLength: 50 }).map((bytes) => Buffer.from(bytes).toString("base64")),
  }),
  fc.record({
    kind: fc.constant("close"),
    entryId: ordinal,
    exitCode: fc.integer({ min: -1, max: 255 }),
    durationMs: count,
  }),
);
const labels = fc.dictionary(name, label, { maxKeys: 4, noNullPrototype: true });
const heartbeat = {
  executorName,
  os: text,
  architecture: text,
  prometheusMetrics: text,
  airlock: partly({ slots: fc.nat(100), labels, draining: fc.boolean(), runtime: text }, []),
};
// No reserved name ends with a digit.
const accountName = name.map((text) => `${text}7`);
const siteRole = fc.constantFrom(...api.siteRoles);
const nullable = <T>(of: fc.Arbitrary<T>) => fc.oneof(of, fc.constant(null));
const jobSpec = partly(
  {
    queue: name,
    repository: name,
    revision: name,
    steps: fc.array(
      partly(
        {
          image: name,
          run: text,
          dir: name,
          env: fc.dictionary(fc.stringMatching(/^[A-Z]{1,8}$/), text, { maxKeys: 3, noNullPrototype: true }),
        },
        ["image", "run"],
      ),
      { minLength: 1, maxLength: 4 },
    ),
    resources: partly(
      {
        cpus: fc.integer({ min: 1, max: 64 }),
        memory: fc.integer({ min: leastResources.memoryBytes }),
        pids: fc.integer({ min: leastResources.pids, max: 99 }),
      },
      [],
    ),
    egress: fc.constantFrom("none", "public", { allow: ["example.com:443", "10.0.0.0/8"] }),
    timeout: fc.constantFrom("90s", "1h30m", "500ms"),
    outputs: fc.array(name),
    labels,
    namespace: name,
    priority: fc.integer({ min: -1000, max: 1000 }),
    files: fc.dictionary(name, text, { maxKeys: 3, noNullPrototype: true }),
    diff: fc.boolean(),
  },
  ["steps"],
);

const url = name.map((host) => `https://${host}.example/hook`);
const events = fc.subarray([...api.webhookEvents], { minLength: 1 });
const samples = nullable(fc.constant([0, 1.5, Number.MAX_SAFE_INTEGER]));
const usage = fc.record({
  step: fc.nat(999),
  startedAt: time,
  intervalMs: ordinal,
  durationMs: count,
  limits: fc.record({ cpus: fc.constantFrom(0.5, 4), memoryBytes: count, diskBytes: nullable(count) }),
  cpuMs: samples,
  memoryBytes: samples,
  diskBytes: samples,
  receivedBytes: samples,
  sentBytes: samples,
});

/** Valid values for each schema. A test below fails if a schema for external input has none here. */
const valid: Readonly<Record<string, fc.Arbitrary<unknown>>> = {
  JobSpec: jobSpec,
  SubmitJobRequest: jobSpec,
  DequeueRequest: partly(
    {
      executorName,
      version: fc.constantFrom("5.3.0", "dev"),
      numCPUs: fc.nat(64),
      memory: fc.constantFrom("12G", ""),
      queues: nullable(fc.array(name)),
      airlock: partly({ waitMs: fc.nat(60_000), capabilities: fc.array(name, { maxLength: 5 }), labels }, []),
    },
    ["executorName"],
  ),
  HeartbeatRequest: partly({ ...heartbeat, jobIds: nullable(fc.array(wireId)) }, ["executorName"]),
  MultiQueueHeartbeatRequest: partly(
    {
      ...heartbeat,
      queueNames: fc.array(name, { minLength: 1 }),
      jobIdsByQueue: nullable(fc.array(fc.record({ queueName: name, jobIds: nullable(fc.array(wireId)) }))),
    },
    ["executorName", "queueNames"],
  ),
  AddLogEntryRequest: partly(entry, ["executorName", "jobId", "key", "startTime"]),
  UpdateLogEntryRequest: partly({ ...entry, entryId: ordinal }, [
    "executorName",
    "jobId",
    "key",
    "startTime",
    "entryId",
  ]),
  LogBatchRequest: fc.record({
    ...ofJob,
    attempt: ordinal,
    events: fc.array(logEvent, { minLength: 1, maxLength: 5 }),
  }),
  MarkCompleteRequest: partly({ ...ofJob, attempt: ordinal, steps: fc.array(step) }, ["executorName", "jobId"]),
  MarkErrorRequest: partly(
    { ...ofJob, attempt: ordinal, errorMessage: text, reason: fc.constantFrom("timeout"), exitCode: fc.nat(255) },
    ["executorName", "jobId"],
  ),
  UsageRequest: partly({ ...ofJob, attempt: ordinal, usage }, ["executorName", "jobId", "usage"]),
  LocalRunRequest: fc.record({
    spec: jobSpec,
    source: nullable(fc.record({ root: name, commit: name })),
    secrets: fc.dictionary(name, text, { maxKeys: 3, noNullPrototype: true }),
    artifacts: nullable(name),
  }),
  CreateQueueRequest: partly({ name, maxAttempts: fc.integer({ min: 1, max: 100 }), weight: fc.constant(3) }, ["name"]),
  UpdateQueueRequest: partly(
    { maxAttempts: fc.integer({ min: 1, max: 100 }), concurrencyLimit: fc.constant(null) },
    [],
  ),
  AddRepositoryRequest: partly({ name, url: name.map((host) => `https://${host}/x`) }, ["url"]),
  CreateWebhookRequest: partly({ namespace: name, name: label, url, events }, ["name", "url"]),
  UpdateWebhookRequest: partly({ name: label, url, events, enabled: fc.boolean() }, []),
  ListWebhooksQuery: partly({ namespace: name, after: id.map(String), limit: fc.constant("7") }, []),
  ListDeliveriesQuery: partly({ state: fc.constantFrom(...api.deliveryStates), before: id.map(String) }, []),
  SetSecretRequest: partly({ value: text, namespace: nullable(name), description: text }, ["value"]),
  SecretScopeQuery: partly({ namespace: name, queue: name }, []),
  SecretAuditQuery: fc.constant({}),
  AuditQuery: partly({ actor: name, action: fc.constantFrom("secret", "secret.used"), limit: fc.constant("7") }, []),
  AuditExportQuery: partly({ namespace: name, since: fc.constant("2026-01-01T00:00:00Z") }, []),
  LinkIdentityRequest: fc.record({ currentPassword: text }),
  SetIdentityRequest: fc.record({ subject: nullable(name) }),
  ListAccountsQuery: fc.constant({ limit: "7" }),
  CreateOrganizationRequest: partly({ name: accountName, displayName: label }, ["name"]),
  UpdateOrganizationRequest: fc.record({ displayName: label }),
  SetMemberRequest: fc.record({ role: fc.constantFrom(...api.organizationRoles) }),
  CreateUserRequest: partly({ name: accountName, displayName: label, role: siteRole }, ["name"]),
  UpdateUserRequest: partly({ displayName: label, role: siteRole, disabled: fc.boolean() }, []),
  UpdateRepositoryRequest: fc.record({ organizations: nullable(fc.array(name, { maxLength: 3 })) }),
  UsePasswordLinkRequest: fc.record({ token: fc.stringMatching(/^[a-z]{1,20}$/), password: text }),
  ChangePasswordRequest: fc.record({ currentPassword: text, password: text }),
  CreateExecutorTokenRequest: fc.record({ name: fc.stringMatching(/^[a-z]{1,20}$/), queue: name }),
  RotateExecutorTokenRequest: partly({ overlapMs: fc.nat(86_400_000) }, []),
  CreateAccessTokenRequest: fc.record({
    name: fc.stringMatching(/^[a-z]{1,20}$/),
    scopes: fc.subarray([...api.tokenScopes], { minLength: 1 }),
    expiresAt: nullable(time),
  }),
  SignInRequest: fc.record({ name: label, password: text }),
  SetUpRequest: partly({ name: accountName, displayName: label, password: text }, ["name", "password"]),
  CreateSessionRequest: fc.record({ token: text }),
  ListJobsQuery: partly(
    { state: fc.constantFrom("queued", "queued,failed"), queue: name, text: name, limit: fc.constant("7") },
    [],
  ),
  JobLogsQuery: partly({ attempt: ordinal.map(String), entry: ordinal.map(String) }, []),
  ArtifactUploadQuery: fc.record({ attempt: ordinal.map(String), name, kind: fc.constantFrom("diff", "file-archive") }),
  ExecutorEvent: fc.oneof(
    fc.record({ kind: fc.constant("cancel"), jobId: id, attempt: ordinal }),
    fc.constant({ kind: "drain" }),
  ),
  HeartbeatResponse: fc.oneof(
    fc.array(id),
    fc.record({ knownIds: nullable(fc.array(fc.oneof(id, text))), cancelIds: nullable(fc.array(text)) }),
  ),
  ApiError: fc.record({ error: fc.record({ code: text, message: text }) }),
};

const hostile: readonly unknown[] = [
  ...[
    null,
    undefined,
    true,
    -1,
    1.5,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    2 ** 53,
    2 ** 31,
    1e308,
    "",
    "\0",
    "\ud800",
  ],
  ...["x".repeat(100_000), "../..", "__proto__", "-1", "0x10", "1e9", [], {}, [[]], [null], { length: -1 }],
  ...[JSON.parse('{"__proto__":{"x":1}}'), { constructor: { prototype: {} } }, { toString: null, valueOf: null }],
  ...[Object.create(null), 10n, Symbol("x"), () => 1, new Date(Number.NaN), Array(2000).fill("x")],
];

function pathsOf(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, member]) => pathsOf(member, [...path, key]))];
}

function replaceAt(value: unknown, [key, ...rest]: readonly string[], by: unknown): unknown {
  if (key === undefined) return by;
  if (Array.isArray(value)) {
    return value.map((member: unknown, at) => (String(at) === key ? replaceAt(member, rest, by) : member));
  }
  const members = Object.entries(value as object) as [string, unknown][];
  return Object.fromEntries(members.map(([at, member]) => [at, at === key ? replaceAt(member, rest, by) : member]));
}

const schemas = Object.entries(api).flatMap(([title, value]): [string, z.ZodType][] =>
  value instanceof z.ZodType ? [[title, value]] : [],
);
const incoming = schemas.filter(([title]) => title in valid);

describe("schemas", () => {
  it("of requests all have examples in this file", () => {
    const asked = schemas.map(([title]) => title).filter((title) => /(?:Request|Query)$/.test(title));
    const known = Object.keys(valid);
    expect(asked.filter((title) => !known.includes(title))).toEqual([]);
    expect(known.filter((title) => !schemas.some(([schema]) => schema === title))).toEqual([]);
  });

  it.each(incoming)("%s: parses valid input, and parsing its result again changes nothing", (title, schema) => {
    fc.assert(
      fc.property(valid[title] ?? fc.constant(null), (value) => {
        const sent: unknown = JSON.parse(JSON.stringify(value));
        const once: unknown = schema.parse(sent);
        if (/Query$/.test(title)) return;
        const twice: unknown = schema.parse(JSON.parse(JSON.stringify(once)));
        expect(twice).toEqual(once);
      }),
      { numRuns },
    );
  });

  it.each(incoming)("%s: answers every mutation with a value or with issues, and never throws", (title, schema) => {
    let refused = 0;
    fc.assert(
      fc.property(valid[title] ?? fc.constant(null), fc.nat(), fc.constantFrom(...hostile), (value, at, bad) => {
        const paths = pathsOf(value);
        const path = paths[at % paths.length] ?? [];
        const result = schema.safeParse(replaceAt(value, path, bad));
        if (result.success) return;
        refused += 1;
        const lines = api.describeIssues(result.error);
        expect(lines.length).toBeGreaterThan(0);
        expect(lines.length).toBeLessThanOrEqual(21);
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(500);
        // A line consists of a path and a problem. Only problems of the whole value have no path.
        if (path.length > 0 && lines.length === 1) expect(lines[0]).toMatch(/\w/);
      }),
      { numRuns: numRuns * 3 },
    );
    expect(refused).toBeGreaterThan(0);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
  });

  it.each(schemas)("%s: accepts any input without throwing", (_title, schema) => {
    fc.assert(
      fc.property(
        fc.anything({ withBigInt: true, withNullPrototype: true, withDate: true, withMap: true }),
        (value) => {
          const result = schema.safeParse(value);
          if (!result.success) expect(api.describeIssues(result.error).length).toBeGreaterThan(0);
        },
      ),
      { numRuns },
    );
  });
});
