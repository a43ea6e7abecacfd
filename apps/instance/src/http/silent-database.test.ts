import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import { sql } from "kysely";
import { expect, it, onTestFinished } from "vitest";
import { openDatabase } from "../store/database.ts";
import { isDatabaseAway } from "../store/database-away.ts";
import { startTestInstance } from "../testing/test-instance.ts";

/** A way to the database that can fall silent: connections stay open, but nothing passes any more. */
async function pausableWay(target: string): Promise<{ readonly url: string; pause(): void; resume(): void }> {
  const { hostname, port } = new URL(target);
  const sockets = new Set<Socket>();
  let paused = false;
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname);
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(socket);
      socket.on("data", (data) => {
        other.write(data);
      });
      socket.on("error", () => other.destroy());
      socket.on("close", () => {
        sockets.delete(socket);
        other.destroy();
      });
      if (paused) socket.pause();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const url = new URL(target);
  url.hostname = "127.0.0.1";
  url.port = String((server.address() as AddressInfo).port);
  return {
    url: url.href,
    pause: () => {
      paused = true;
      for (const socket of sockets) socket.pause();
    },
    resume: () => {
      paused = false;
      for (const socket of sockets) socket.resume();
    },
  };
}

describeWithEngines(["postgres"], "a database that keeps connections open and answers nothing", () => {
  it("fails statements instead of holding them, and works again when it answers", async () => {
    const way = await pausableWay((await createDatabase(engines().postgres?.url ?? "")).url);
    const db = await openDatabase({ url: way.url, suspectMs: 100 });
    onTestFinished(() => db.destroy());
    await sql`select 1`.execute(db);
    way.pause();
    const failed = await sql`select 1`.execute(db).catch((error: unknown) => error);
    expect(isDatabaseAway(failed)).toBe(true);
    way.resume();
    expect((await sql`select 1 as one`.execute(db)).rows).toEqual([{ one: 1 }]);
  });

  it("does not end statements that only take long", async () => {
    const { url } = await createDatabase(engines().postgres?.url ?? "");
    const db = await openDatabase({ url, suspectMs: 50 });
    onTestFinished(() => db.destroy());
    expect((await sql`select pg_sleep(1)::text as slept`.execute(db)).rows).toEqual([{ slept: "" }]);
  });

  it("makes the health check fail with words that name nothing of it", async () => {
    const way = await pausableWay((await createDatabase(engines().postgres?.url ?? "")).url);
    await using target = await startTestInstance({ url: way.url });
    way.pause();
    const answer = await fetch(`${target.url}/healthz`);
    way.resume();
    expect([answer.status, await answer.text()]).toEqual([503, "the database does not answer\n"]);
  });
});
