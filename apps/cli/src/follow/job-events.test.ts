import { describe, expect, it } from "vitest";
import { jobView, sendEvents, stubInstance } from "../testing/stub-instance.ts";
import { jobEvents } from "./job-events.ts";

async function collect(
  client: Parameters<typeof jobEvents>[0],
  options: { giveUpAfterMs?: number; silenceMs?: number },
) {
  const connection: string[] = [];
  const kinds: string[] = [];
  const signal = AbortSignal.timeout(20_000);
  for await (const { kind } of jobEvents(client, 7, {
    ...options,
    signal,
    onConnection: (state) => connection.push(state),
  })) {
    kinds.push(kind);
  }
  return { connection, kinds };
}

describe("following a job's events", () => {
  it("gives up when the instance ends the stream repeatedly without an event", async () => {
    await using instance = await stubInstance({
      "GET jobs/7/events": (_, response) => void response.writeHead(200, { "content-type": "text/event-stream" }).end(),
    });
    await expect(collect(instance.client, { giveUpAfterMs: 500 })).rejects.toMatchObject({ code: "unreachable" });
    expect(instance.requests.length).toBeGreaterThan(1);
  });

  it("reconnects when nothing arrives for too long", async () => {
    let connections = 0;
    await using instance = await stubInstance({
      "GET jobs/7/events": (_, response) => {
        connections += 1;
        sendEvents(response, [{ kind: "job", job: jobView() }]);
        // The first connection goes silent without closing, like that of a machine that lost its power.
        if (connections === 2) sendEvents(response, [{ kind: "end" }]);
      },
    });
    const { kinds, connection } = await collect(instance.client, { silenceMs: 200 });
    expect(kinds).toEqual(["job", "job", "end"]);
    expect(connection).toEqual(["lost", "back"]);
  });

  it("skips events of kinds that this version does not know", async () => {
    await using instance = await stubInstance({
      "GET jobs/7/events": (_, response) => {
        response.writeHead(200, { "content-type": "text/event-stream" });
        response.end('data: {"kind":"weather"}\n\ndata: {"kind":"end"}\n\n');
      },
    });
    expect((await collect(instance.client, {})).kinds).toEqual(["end"]);
  });
});
