import { randomBytes } from "node:crypto";
import { readFile, rm, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import {
  createDatabase,
  describeWithEngines,
  engines,
  type TemporaryDirectory,
  type TestDatabase,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterEach, beforeEach, expect, it } from "vitest";
import { repositoryContext, sealRepositories } from "../repositories/seal-repositories.ts";
import { parseKeys } from "../sealing/keyring.ts";
import { type KeySource, openKeyring } from "../sealing/open-keyring.ts";
import { Sealer } from "../sealing/sealer.ts";
import { type Database, openDatabase } from "../store/database.ts";
import { rotateKeys } from "./rotate-keys.ts";
import { secretContext, setSecret } from "./secret-store.ts";

const newKey = () => randomBytes(32).toString("base64");
const by = { actor: "administrator", via: "token" } as const;

describeWithEngines(["postgres"], "the keys that encrypt a database", () => {
  let database: TestDatabase;
  let directory: TemporaryDirectory;
  let db: Database;
  let defaultFile: string;
  beforeEach(async () => {
    directory = await temporaryDirectory();
    database = await createDatabase(engines().postgres?.url ?? "");
    db = await openDatabase({ url: database.url });
    defaultFile = path.join(directory.path, "secret-key");
  });
  afterEach(async () => {
    await db.destroy();
    await database[Symbol.asyncDispose]();
    await directory[Symbol.asyncDispose]();
  });

  const text = (...keys: readonly string[]): KeySource => ({ kind: "text", text: keys.join("\n") });
  const open = async (source: KeySource = null) => new Sealer(await openKeyring({ db, source, defaultFile }));
  const set = (sealer: Sealer, name: string, value: string) =>
    setSecret({ db, sealer }, name, { namespace: null, queue: null, value }, by);
  const stored = async (name: string) => {
    const row = await db.selectFrom("secrets").selectAll().where("name", "=", name).executeTakeFirstOrThrow();
    return { row, open: (sealer: Sealer) => sealer.open(secretContext(row), row.sealed) };
  };

  it("are created on first use in a file that only its user can read, and stay the same", async () => {
    const sealer = await open();
    expect((await stat(defaultFile)).mode & 0o777).toBe(0o600);
    await set(sealer, "TOKEN", "the value");
    expect((await stored("TOKEN")).open(await open())).toBe("the value");
  });

  it("are never recreated while encrypted data exists: the start fails until the key file is back", async () => {
    await set(await open(), "TOKEN", "the value");
    const file = await readFile(defaultFile);
    await rm(defaultFile);
    await expect(open()).rejects.toMatchObject({
      code: "secret-key-missing",
      message: expect.stringMatching(/1 secrets and 0 repository addresses under key [0-9a-f]{16}/),
      hint: expect.stringContaining("AIRLOCK_SECRET_KEY_FILE"),
    });
    await expect(stat(defaultFile)).rejects.toThrow("ENOENT");
    await writeFile(defaultFile, file);
    expect((await stored("TOKEN")).open(await open())).toBe("the value");
  });

  it("must include the one in use: a wrong key is refused and changes nothing", async () => {
    const key = newKey();
    await set(await open(text(key)), "TOKEN", "the value");
    await expect(open(text(newKey()))).rejects.toMatchObject({ code: "secret-key-missing" });
    await expect(open()).rejects.toMatchObject({ code: "secret-key-missing" });
    expect((await stored("TOKEN")).open(await open(text(key)))).toBe("the value");
  });

  it("must be the same for all instances: an instance with another key can't encrypt", async () => {
    const first = await open(text(newKey()));
    const second = await open(text(newKey()));
    await expect(set(first, "TOKEN", "lost to the others")).rejects.toMatchObject({ code: "secret-key-mismatch" });
    await set(second, "TOKEN", "the value");
    expect((await stored("TOKEN")).open(second)).toBe("the value");
  });

  it("are rotated row by row while instances with both keys are running", async () => {
    const [oldKey, key] = [newKey(), newKey()];
    const before = await open(text(oldKey));
    for (let index = 0; index < 250; index++) await set(before, `TOKEN_${index}`, `value ${index}`);
    const during = await open(text(key, oldKey));
    const behind = await open(text(oldKey, key));
    expect((await stored("TOKEN_7")).open(during)).toBe("value 7");

    const rounds = await Promise.all([rotateKeys({ db, sealer: during }), rotateKeys({ db, sealer: during })]);
    expect(rounds.reduce((sum, { rotated }) => sum + rotated, 0)).toBe(250);
    expect((await stored("TOKEN_249")).open(behind)).toBe("value 249");

    await set(behind, "LATE", "under the old key");
    expect(await rotateKeys({ db, sealer: during })).toEqual({ keyId: during.keyId, rotated: 1 });
    const after = await open(text(key));
    for (const name of ["TOKEN_0", "TOKEN_249"])
      expect((await stored(name)).open(after)).toBe(`value ${name.slice(6)}`);
    expect((await stored("LATE")).open(after)).toBe("under the old key");
    const { rotated } = await rotateKeys({ db, sealer: after });
    expect(rotated).toBe(0);
  });

  it("also encrypt repository addresses that an earlier version stored in plain text", async () => {
    const sealer = await open();
    const url = "https://robot:hunter2hunter2@git.example.com/app.git";
    await db.insertInto("repositories").values({ name: "app", url }).execute();
    await db.insertInto("repositories").values({ name: "plain", url: "https://git.example.com/plain.git" }).execute();
    await sealRepositories({ db, sealer });
    await sealRepositories({ db, sealer });
    const rows = await db.selectFrom("repositories").selectAll().orderBy("name").execute();
    expect(rows.map((row) => [row.name, row.url, row.key_id])).toEqual([
      ["app", "https://git.example.com/app.git", sealer.keyId],
      ["plain", "https://git.example.com/plain.git", null],
    ]);
    expect(sealer.open(repositoryContext("app"), rows[0]?.sealed_url ?? Buffer.alloc(0))).toBe(url);
    expect(JSON.stringify(rows)).not.toContain("hunter2");

    const keys = `${newKey()}\n${await readFile(defaultFile, "utf8")}`;
    expect((await rotateKeys({ db, sealer: await open(text(keys)) })).rotated).toBe(1);
    expect(parseKeys(keys, "x").primary.id).toBe(
      (await db.selectFrom("repositories").select("key_id").where("name", "=", "app").executeTakeFirstOrThrow()).key_id,
    );
  });
});
