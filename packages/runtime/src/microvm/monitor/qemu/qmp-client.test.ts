import { duplexPair } from "node:stream";
import fc from "fast-check";
import { expect, it } from "vitest";
import { QmpClient } from "./qmp-client.ts";

const signal = AbortSignal.timeout(20_000);
const greeting = '{"QMP":{"version":{}}}\n';

/** A client that has started, and QEMU's end of its connection. Each command gets the next answer. */
async function startClient(...answers: readonly string[]) {
  const [host, qemu] = duplexPair();
  const client = new QmpClient(host);
  const commands: string[] = [];
  const left = ['{"return":{},"id":1}\n', ...answers];
  qemu.on("error", () => {});
  qemu.on("data", (bytes: Buffer) => {
    commands.push(bytes.toString());
    const answer = left.shift();
    if (answer !== undefined) qemu.write(answer);
  });
  qemu.write(greeting);
  await client.start(signal);
  return { client, qemu, commands };
}

it("returns an answer that arrives in pieces between events", async () => {
  const { client, qemu, commands } = await startClient();
  const answer = client.call("query-status", { x: 1 }, signal);
  for (const piece of ['{"event":"STOP"}\n{"ret', 'urn":{"status":"running"},', '"id":2}\n{"event":"RESUME"}\n'])
    qemu.write(piece);
  expect(await answer).toEqual({ status: "running" });
  expect(commands[1]).toBe('{"execute":"query-status","arguments":{"x":1},"id":2}\n');
});

it("gives each of several commands at once its own answer", async () => {
  const { client } = await startClient('{"return":"first","id":2}\n{"return":"second","id":3}\n');
  const calls = [client.call("a", {}, signal), client.call("b", {}, signal)];
  expect(await Promise.all(calls)).toEqual(["first", "second"]);
});

it("rejects with QEMU's words and goes on", async () => {
  const { client } = await startClient(
    '{"error":{"class":"GenericError","desc":"no such disk\\u001b[2J"},"id":2}\n',
    '{"return":7,"id":3}\n',
  );
  await expect(client.call("blockdev-add", {}, signal)).rejects.toThrow("QEMU refused a command: no such disk?[2J");
  expect(await client.call("x", {}, signal)).toBe(7);
});

it.each([
  ["an answer to another command", '{"return":{},"id":9}\n', "a command that was not sent"],
  ["text that is not JSON", "nonsense\n", "not QMP"],
  ["JSON of another form", "[1]\n", "not QMP"],
  ["a line without an end", "x".repeat(2 ** 20 + 1), "too long"],
])("ends the connection at %s", async (_what, answer, words) => {
  const { client } = await startClient(answer);
  await expect(client.call("stop", {}, signal)).rejects.toThrow(words);
  await expect(client.call("cont", {}, signal)).rejects.toThrow(words);
});

it("rejects a call when QEMU ends or the caller aborts", async () => {
  const { client, qemu } = await startClient();
  const call = client.call("stop", {}, signal);
  qemu.end();
  await expect(call).rejects.toThrow("QEMU closed its control connection");
  const other = await startClient();
  const abort = new AbortController();
  const aborted = other.client.call("stop", {}, abort.signal);
  abort.abort(new Error("canceled"));
  await expect(aborted).rejects.toThrow("canceled");
});

it("never throws outside of a call, whatever QEMU sends", async () => {
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 300 }), async (bytes) => {
      const { client, qemu } = await startClient();
      const call = client.call("stop", {}, signal);
      qemu.end(Buffer.from(bytes));
      await expect(call).rejects.toMatchObject({ reason: "runtime" });
    }),
    { numRuns: 200 },
  );
});
