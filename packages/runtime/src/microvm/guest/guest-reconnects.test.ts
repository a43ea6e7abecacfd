import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { type TemporaryDirectory, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { helloPayload } from "./frames.ts";
import { GuestAgent } from "./guest-agent.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const signal = AbortSignal.timeout(60_000);

describe.skipIf(process.geteuid?.() !== 0)("an agent that loses its connection", () => {
  let parts: GuestParts;
  let directory: TemporaryDirectory;
  let server: Server;
  let path: string;

  beforeAll(async () => {
    parts = await makeGuestParts();
    directory = await temporaryDirectory("vm-");
    path = join(directory.path, "host");
    server = createServer();
    server.listen(path);
    await once(server, "listening");
  }, 120_000);

  afterAll(async () => {
    server?.close();
    await directory?.[Symbol.asyncDispose]();
    await parts?.[Symbol.asyncDispose]();
  });

  const nextConnection = async (): Promise<Socket> => {
    const [socket] = await once(server, "connection", { signal });
    return socket;
  };

  it("connects and greets again while no host has greeted it, as in a copy of its guest", async () => {
    const first = nextConnection();
    await using _guest = parts.start({ socket: path });
    const original = await first;
    const [greeting] = await once(original, "data", { signal });
    expect(greeting.includes(helloPayload)).toBe(true);
    // Firecracker resets the connections of a restored guest.
    const second = nextConnection();
    original.destroy();
    const agent = await GuestAgent.connect(await second, { signal, seed: randomBytes(32), time: new Date() });
    expect((await agent.stats(signal)).processes).toBeGreaterThan(0);
    agent[Symbol.dispose]();
  });

  it("ends its guest once a host has greeted it", async () => {
    const first = nextConnection();
    await using guest = parts.start({ socket: path });
    const agent = await GuestAgent.connect(await first, { signal, seed: randomBytes(32), time: new Date() });
    agent[Symbol.dispose]();
    expect(await guest.ended).toMatchObject({ code: 2, console: "airlock-agent: the host has closed the stream\n" });
  });
});
