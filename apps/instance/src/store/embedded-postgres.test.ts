import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { temporaryDirectory } from "@airlock/test-kit";
import { sql } from "kysely";
import { describe, expect, it } from "vitest";
import { openDatabase } from "./database.ts";
import { EmbeddedPostgres } from "./embedded-postgres.ts";

async function queueCount(url: string): Promise<number> {
  const db = await openDatabase({ url });
  try {
    return (await db.selectFrom("queues").select("name").execute()).length;
  } finally {
    await db.destroy();
  }
}

/** Adds a queue, so that a later start can tell the same database from a new one. */
async function addQueue(url: string): Promise<void> {
  const db = await openDatabase({ url });
  await db.insertInto("queues").values({ name: "kept" }).execute();
  await db.destroy();
}

/** A zombie process doesn't count as alive. */
function isAlive(pid: number): boolean {
  if (!existsSync(`/proc/${pid}/stat`)) return false;
  return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
}

/** Starts a database in a child process, prints its pid, and waits to be killed. */
async function startElsewhere(dataDirectory: string): Promise<{ kill: () => Promise<void>; postgresPid: number }> {
  const module = fileURLToPath(new URL("./embedded-postgres.ts", import.meta.url));
  const script = `
    import { EmbeddedPostgres } from ${JSON.stringify(module)};
    const postgres = await EmbeddedPostgres.start({ dataDirectory: ${JSON.stringify(dataDirectory)} });
    console.log(postgres.pid);
    setInterval(() => {}, 1000);`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  return {
    postgresPid: Number(line.toString()),
    async kill() {
      child.kill("SIGKILL");
      await once(child, "exit");
    },
  };
}

describe("the embedded PostgreSQL", () => {
  it("is created once, keeps its data, flushes to disk, and leaves nothing running after it stops", async () => {
    await using directory = await temporaryDirectory();
    let socketDirectory: string;
    {
      await using postgres = await EmbeddedPostgres.start({ dataDirectory: directory.path });
      socketDirectory = new URL(postgres.url).searchParams.get("host") ?? "";
      expect((await stat(socketDirectory)).mode & 0o777).toBe(0o700);
      const db = await openDatabase({ url: postgres.url });
      const { rows } = await sql`select current_setting('fsync') as fsync, current_setting('listen_addresses') as tcp,
        current_setting('is_superuser') as superuser`.execute(db);
      expect(rows).toEqual([{ fsync: "on", tcp: "", superuser: "on" }]);
      await db.destroy();
      await addQueue(postgres.url);
      if (process.getuid?.() === 0) expect((await stat(path.join(directory.path, "postgres"))).uid).not.toBe(0);
    }
    expect(existsSync(socketDirectory)).toBe(false);
    await using again = await EmbeddedPostgres.start({ dataDirectory: directory.path });
    expect(await queueCount(again.url)).toBe(4);
  });

  it("requires its password", async () => {
    await using directory = await temporaryDirectory();
    await using postgres = await EmbeddedPostgres.start({ dataDirectory: directory.path });
    const guess = new URL(postgres.url);
    guess.password = "guess";
    await expect(openDatabase({ url: guess.href })).rejects.toMatchObject({ code: "database-unreachable" });
    expect((await stat(path.join(directory.path, "postgres-password"))).mode & 0o777).toBe(0o600);
  });

  it("stops with the process that started it, even if that is killed, and the next start takes over", async () => {
    await using directory = await temporaryDirectory();
    const killed = await startElsewhere(directory.path);
    expect(isAlive(killed.postgresPid)).toBe(true);
    await killed.kill();
    // Start at once, while the old server may still be shutting down.
    await using postgres = await EmbeddedPostgres.start({ dataDirectory: directory.path });
    await addQueue(postgres.url);
    expect(isAlive(killed.postgresPid)).toBe(false);
    expect(await queueCount(postgres.url)).toBe(4);
  });

  it("starts despite a stale pid file whose number now belongs to another process", async () => {
    await using directory = await temporaryDirectory();
    const first = await startElsewhere(directory.path);
    const pidFile = path.join(directory.path, "postgres", "postmaster.pid");
    const record = (await readFile(pidFile, "utf8")).split("\n");
    process.kill(first.postgresPid, "SIGKILL");
    await first.kill();
    await writeFile(pidFile, [String(process.pid), ...record.slice(1)].join("\n"));
    await using postgres = await EmbeddedPostgres.start({ dataDirectory: directory.path });
    expect(await queueCount(postgres.url)).toBe(3);
  });

  it("is restarted when it dies, without losing committed data", async () => {
    await using directory = await temporaryDirectory();
    const events: string[] = [];
    await using postgres = await EmbeddedPostgres.start({
      dataDirectory: directory.path,
      onEvent: ({ kind }) => events.push(kind),
    });
    await addQueue(postgres.url);
    const { pid } = postgres;
    if (pid) process.kill(pid, "SIGKILL");
    await expect.poll(() => events, { timeout: 20_000 }).toEqual(["started", "died", "started"]);
    expect(postgres.pid).not.toBe(pid);
    expect(await queueCount(postgres.url)).toBe(4);
  });
});
