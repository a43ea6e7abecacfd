import { createHash, randomBytes } from "node:crypto";
import type { Duplex } from "node:stream";
import { buffer } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { SandboxService } from "../../contract/index.ts";
import { bootGuest, runCollected, shell } from "./testing/boot-guest.ts";
import { type GuestParts, makeGuestParts } from "./testing/namespace-guest.ts";

const signal = AbortSignal.timeout(55_000);
const ports = [4470];
const service = (serve: SandboxService["serve"]): SandboxService => ({ port: 4470, serve });
const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

describe.skipIf(process.geteuid?.() !== 0)("services of a guest", () => {
  let parts: GuestParts;
  beforeAll(async () => {
    parts = await makeGuestParts();
  });
  afterAll(async () => await parts?.[Symbol.asyncDispose]());

  async function boot(serve: SandboxService["serve"]) {
    const booted = await bootGuest(parts, signal);
    booted.agent.connection.serve([service(serve)]);
    return booted;
  }

  it("are reached by every step, whose network has nothing else", async () => {
    await using booted = await boot((connection) => connection.end("from the host\n"));
    for (const uid of [0, 1000]) {
      const script = "nc 127.0.0.1 4470 </dev/null; ls /sys/class/net; nc 127.0.0.1 4471 </dev/null || echo closed";
      const { stdout } = await runCollected(booted.agent, shell(script, { ports, uid, gid: uid }), signal);
      expect(stdout).toBe("from the host\nlo\nclosed\n");
    }
    expect(booted.agent.connection.held.connections).toBe(0);
  });

  it("carry much in both directions, with several connections at once", async () => {
    const answer = randomBytes(3 << 20);
    const received: string[] = [];
    const serve = async (connection: Duplex) => {
      received.push(digest(await buffer(connection)));
      connection.end(answer);
    };
    await using booted = await boot((connection) => void serve(connection).catch(() => connection.destroy()));
    const script = `for i in 1 2 3; do (head -c 3145728 /dev/zero | nc 127.0.0.1 4470 | sha256sum) & done; wait`;
    const { stdout } = await runCollected(booted.agent, shell(script, { ports }), signal);
    expect(stdout).toBe(`${digest(answer)}  -\n`.repeat(3));
    expect(received).toEqual(Array(3).fill(digest(Buffer.alloc(3 << 20))));
  });

  it("don't delay output and calls when the host does not read and the step does not either", async () => {
    const flood = Buffer.alloc(1 << 20);
    await using booted = await boot((connection) => void connection.write(flood));
    const script = `for i in 1 2 3 4; do (cat /dev/zero | nc 127.0.0.1 4470 | sleep 1000) & done
      head -c 5000000 /dev/zero; kill -9 -1`;
    const running = runCollected(booted.agent, shell(script, { ports }), signal);
    for (let i = 0; i < 50; i++) await booted.agent.stats(signal);
    const { stdout } = await running;
    expect(stdout.length).toBe(5_000_000);
    expect(booted.agent.connection.held.connections).toBe(0);
  });

  it("have at most 32 connections at once, and serve the others later", async () => {
    let open = 0;
    let most = 0;
    let served = 0;
    const waiting: Duplex[] = [];
    await using booted = await boot((connection) => {
      open += 1;
      served += 1;
      most = Math.max(most, open);
      connection.resume().once("close", () => {
        open -= 1;
      });
      waiting.push(connection);
      if (waiting.length >= 32 || served > 32) for (const one of waiting.splice(0)) one.end("x");
    });
    const script = `i=0; while [ $i -lt 50 ]; do nc 127.0.0.1 4470 </dev/null & i=$((i+1)); done; wait`;
    const { stdout } = await runCollected(booted.agent, shell(script, { ports }), signal);
    expect({ stdout, most, served }).toEqual({ stdout: "x".repeat(50), most: 32, served: 50 });
  });

  it("break off the connections of a step at its end", async () => {
    const closed: Promise<void>[] = [];
    await using booted = await boot((connection) => {
      closed.push(new Promise((resolve) => connection.once("close", resolve)));
      connection.resume().write("hello\n");
    });
    const script = `rm -f got; nc 127.0.0.1 4470 </dev/null >got & while ! grep -s hello got; do sleep 0.01; done
      kill -9 -1`;
    for (let i = 1; i <= 3; i++) {
      const { stdout } = await runCollected(booted.agent, shell(script, { ports }), signal);
      expect(stdout).toBe("hello\n");
      expect(closed).toHaveLength(i);
      await Promise.all(closed);
    }
  });

  it("break off a connection in the guest when the host destroys it", async () => {
    await using booted = await boot((connection) => void connection.destroy());
    const script = "nc 127.0.0.1 4470 </dev/null; echo over";
    const { stdout } = await runCollected(booted.agent, shell(script, { ports }), signal);
    expect(stdout).toBe("over\n");
  });

  it("say why a step can't start when a port is named twice", async () => {
    await using booted = await boot(() => {});
    const running = runCollected(booted.agent, shell("true", { ports: [4470, 4470] }), signal);
    await expect(running).rejects.toThrow("port of a service");
    const tooMany = runCollected(booted.agent, shell("true", { ports: [1, 2, 3, 4, 5, 6, 7, 8, 9] }), signal);
    await expect(tooMany).rejects.toThrow("a port of a service");
  });
});
