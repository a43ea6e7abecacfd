import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { afterAll, beforeAll, expect, it } from "vitest";
import { jobHeaders, startTestInstance, type TakenJob, type TestInstance } from "../../testing/test-instance.ts";

const hidden = [
  ["a line end", "\n"],
  ["an escape sequence", "\u001b[2J"],
  ["a carriage return", "\r"],
  ["a C1 control", "\u009b31m"],
  ["a reversed reading order", "\u202e"],
  ["an isolate", "\u2067"],
  ["a zero-width space", "\u200b"],
  ["a byte order mark", "\ufeff"],
  ["a line separator", "\u2028"],
  ["a filler without a glyph", "\u3164"],
  ["a tag character", "\u{e0041}"],
] as const;

describeWithEngines(["postgres"], "names and labels that executors report", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
    await target.rest("PATCH", "/queues/default", { leaseMs: 3_600_000 });
  });
  afterAll(() => target[Symbol.asyncDispose]());

  const beat = (body: Record<string, unknown>) =>
    target.executor("queue/default/heartbeat", { executorName: "e", version: "V2", jobIds: [], ...body });
  const answerOf = async (response: Response) => ({ status: response.status, text: await response.text() });

  it.each(hidden)("are refused with %s, and the error names the field and the character", async (_title, character) => {
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const name = `e${character}x`;
    const requests: [string, Promise<Response>][] = [
      ["executorName", beat({ executorName: name })],
      ["executorName", target.executor("queue/heartbeat", { executorName: name, queueNames: ["default"] })],
      ["executorName", target.executor("queue/default/dequeue", { executorName: name })],
      ["executorName", target.executor("queue/dequeue", { executorName: name, queues: ["default"] })],
      ["executorName", target.executor("queue/default/canceledJobs", { executorName: name, knownJobIds: [] })],
      [
        "executorName",
        fetch(`${target.url}/.executors/events?executorName=${encodeURIComponent(name)}`, {
          headers: { authorization: `token-executor ${target.instance.executorToken}` },
        }),
      ],
      ["airlock.labels", beat({ airlock: { labels: { region: name } } })],
      ["airlock.labels", beat({ airlock: { labels: { [name]: "eu" } } })],
      [
        "airlock.labels",
        target.executor("queue/default/dequeue", { executorName: "e", airlock: { labels: { region: name } } }),
      ],
      [
        "airlock.capabilities",
        target.executor("queue/default/dequeue", { executorName: "e", airlock: { capabilities: [name] } }),
      ],
    ];
    for (const [field, request] of requests) {
      const { status, text } = await answerOf(await request);
      expect([field, status]).toEqual([field, 400]);
      expect(text).toMatch(new RegExp(`${field}[^;]*U\\+${code}`));
      expect(text).not.toContain(character);
    }
    const listed = await (await target.rest("GET", "/executors")).text();
    expect(listed).not.toContain(JSON.stringify(name).slice(1, -1));
  });

  it("are refused if they are empty, blank or too long", async () => {
    for (const executorName of [" ", "\u3000", "x".repeat(256)]) {
      const { status, text } = await answerOf(await beat({ executorName }));
      expect([status, text]).toEqual([400, expect.stringMatching(/^executorName: /)]);
    }
    const labels = await answerOf(await beat({ airlock: { labels: { region: "x".repeat(256) } } }));
    expect([labels.status, labels.text]).toEqual([400, expect.stringMatching(/^airlock\.labels\.region: /)]);
  });

  it("may use any script", async () => {
    for (const executorName of ["Rechenknecht-ß-7", "構建機-1", "сборщик", "بناء-3", "builder.example.com-0123"]) {
      expect((await beat({ executorName })).status).toBe(200);
    }
  });

  it.each(hidden)(
    "can come with versions that contain %s, which is replaced so that the executor still works",
    async (_title, character) => {
      const text = `1.2${character}3`;
      const telemetry = { os: text, architecture: text, dockerVersion: text, executorVersion: text, gitVersion: text };
      const airlock = { runtime: text, runtimeVersion: text };
      expect((await beat({ executorName: "versions", ...telemetry, airlock })).status).toBe(200);
      const { executors } = (await (await target.rest("GET", "/executors")).json()) as {
        executors: ({ name: string } & Record<string, unknown>)[];
      };
      const shown = executors.find(({ name }) => name === "versions");
      const clean = expect.stringMatching(/^1\.2\ufffd.*3$/);
      expect(shown).toMatchObject({
        os: clean,
        architecture: clean,
        dockerVersion: clean,
        version: clean,
        gitVersion: clean,
        runtime: clean,
        runtimeVersion: clean,
      });
      expect(JSON.stringify(shown)).not.toContain(JSON.stringify(character).slice(1, -1));
    },
  );

  it("can't bring hidden characters into job reports", async () => {
    const executorName = "reporter";
    await target.submit();
    const taken = await target.executor("queue/default/dequeue", { executorName, airlock: { waitMs: 5000 } });
    const job = (await taken.json()) as TakenJob;
    const own = jobHeaders(job, executorName);
    const attempt = { executorName, jobId: job.id, attempt: 1 };
    const startTime = "2026-01-01T00:00:00Z";
    for (const [, character] of hidden) {
      const key = `step.docker.${character}`;
      const open = { kind: "open", entryId: 1, key, command: [], startTime };
      const batch = await target.executor("queue/default/logs", { ...attempt, events: [open] }, own);
      const whole = await target.executor("queue/default/addExecutionLogEntry", { ...attempt, key, startTime }, own);
      const steps = [{ key, state: "failed", exitCode: 1, durationMs: 1 }];
      const end = await target.executor("queue/default/markFailed", { ...attempt, steps }, own);
      expect([batch.status, whole.status, end.status]).toEqual([400, 400, 400]);
    }
    const errorMessage = "exit code 3\n\u001b[31mred\u202etxt.exe\u0007\u009b\u2028end";
    expect((await target.executor("queue/default/markFailed", { ...attempt, errorMessage }, own)).status).toBe(204);
    expect(await (await target.rest("GET", `/jobs/${job.id}`)).json()).toMatchObject({
      failureMessage: "exit code 3\n\u001b[31mred\ufffdtxt.exe\ufffd\ufffd\ufffdend",
    });
  });

  it.each(hidden)("are refused with %s in what describes a code index", async (_title, character) => {
    for (const field of ["repository", "root", "indexerName", "indexerVersion"]) {
      const query = new URLSearchParams({ repository: "app", commit: "a".repeat(40), [field]: `a${character}b` });
      const sent = await fetch(`${target.url}/.executors/scip/upload?${query}`, {
        method: "POST",
        headers: { authorization: `token-executor ${target.instance.executorToken}` },
        body: "index",
      });
      const { status, text } = await answerOf(sent);
      expect([field, status, text]).toEqual([field, 400, expect.stringMatching(new RegExp(`^${field}: .*U\\+`))]);
    }
  });

  it.each(hidden)("that do not exist are quoted with %s escaped", async (_title, character) => {
    const name = `q${character}x`;
    const code = (character.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
    const part = encodeURIComponent(name);
    const answers = [
      await target.executor(`queue/${part}/dequeue`, { executorName: "e" }),
      await target.executor(`queue/${part}/heartbeat`, { executorName: "e", jobIds: [] }),
      await target.rest("PATCH", `/queues/${part}`, { weight: 1 }),
      await target.rest("POST", "/jobs", { queue: name, steps: [{ image: "alpine", run: "true" }] }),
      await target.rest("POST", `/executors/${part}/drain`),
      await target.rest("DELETE", `/repositories/${part}`),
    ];
    for (const [index, answer] of answers.entries()) {
      const { status, text } = await answerOf(answer);
      expect([index, status]).toEqual([index, expect.toSatisfy((value: number) => value >= 400 && value < 500)]);
      // A line end may separate the lines of a message.
      if (character !== "\n") expect([index, text.includes(character)]).toEqual([index, false]);
      if (index < 2 && character !== "\n") expect(text).toContain(`u{${code}}`);
    }
  });
});
