import { chmod, chown, mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import { hideUrlCredentials } from "@airlock/job";
import { temporaryDirectory } from "@airlock/test-kit";
import { describe, expect, it } from "vitest";
import { findConnection } from "./connection.ts";

async function writeConnection(directory: string, content: string, mode = 0o600): Promise<string> {
  await mkdir(directory, { recursive: true });
  const file = path.join(directory, "connection.json");
  await writeFile(file, content, { mode });
  return file;
}

const content = (port: number) => JSON.stringify({ url: `http://127.0.0.1:${port}`, token: `token-${port}` });

describe("the connection to an instance", () => {
  it("is taken from the environment first", async () => {
    await using directory = await temporaryDirectory();
    await writeConnection(path.join(directory.path, ".airlock"), content(1));
    const env = { AIRLOCK_URL: "https://airlock.example.com/sub", AIRLOCK_TOKEN: "t" };
    const connection = await findConnection(env, directory.path);
    expect(connection).toMatchObject({ token: "t", source: "AIRLOCK_TOKEN" });
    expect(connection.url.href).toBe("https://airlock.example.com/sub/");
  });

  it("is taken from the nearest .airlock in the directory or above it", async () => {
    await using directory = await temporaryDirectory();
    const near = path.join(directory.path, "a", "b");
    await mkdir(path.join(near, "c"), { recursive: true });
    await writeConnection(path.join(directory.path, ".airlock"), content(1));
    expect((await findConnection({}, path.join(near, "c"))).token).toBe("token-1");
    await writeConnection(path.join(near, ".airlock"), content(2));
    expect((await findConnection({}, path.join(near, "c"))).token).toBe("token-2");
  });

  it("is taken from AIRLOCK_DATA_DIR before any .airlock", async () => {
    await using directory = await temporaryDirectory();
    await writeConnection(path.join(directory.path, ".airlock"), content(1));
    await writeConnection(path.join(directory.path, "data"), content(2));
    expect((await findConnection({ AIRLOCK_DATA_DIR: "data" }, directory.path)).token).toBe("token-2");
  });

  it("is reported as missing, with the next step", async () => {
    await using directory = await temporaryDirectory();
    await expect(findConnection({}, directory.path)).rejects.toMatchObject({
      code: "no-connection",
      hint: expect.stringContaining("airlock dev"),
    });
  });

  it("needs a token with the address", async () => {
    await expect(findConnection({ AIRLOCK_URL: "http://x" }, "/")).rejects.toMatchObject({
      message: "AIRLOCK_URL is set, but AIRLOCK_TOKEN is not",
    });
  });

  it.each(["localhost:7080", "ftp://x", "not a url"])("can't have the address %s", async (url) => {
    await expect(findConnection({ AIRLOCK_URL: url, AIRLOCK_TOKEN: "t" }, "/")).rejects.toMatchObject({
      code: "connection-invalid",
    });
  });

  it.each(["", "{}", '{"url":1,"token":"x"}', "[]", '{"url":"http://x","token":""}'])(
    "can't come from a file with the content %j",
    async (text) => {
      await using directory = await temporaryDirectory();
      await writeConnection(path.join(directory.path, ".airlock"), text);
      await expect(findConnection({}, directory.path)).rejects.toMatchObject({ code: "connection-invalid" });
    },
  );

  it("is not taken from a file that others can write to", async () => {
    await using directory = await temporaryDirectory();
    await chmod(await writeConnection(path.join(directory.path, ".airlock"), content(1)), 0o666);
    await expect(findConnection({}, directory.path)).rejects.toMatchObject({ code: "connection-not-private" });
  });

  it.runIf(process.getuid?.() === 0)("is not taken from a file of another user (needs root)", async () => {
    await using directory = await temporaryDirectory();
    await chown(await writeConnection(path.join(directory.path, ".airlock"), content(1)), 12_345, 12_345);
    await expect(findConnection({}, directory.path)).rejects.toMatchObject({ code: "connection-not-private" });
  });

  it("can't have a URL with a password, and the error does not repeat the password", async () => {
    for (const url of ["http://admin:s3cret@h/", "ftp://admin:s3cret@h/"]) {
      const error = await findConnection({ AIRLOCK_URL: url, AIRLOCK_TOKEN: "t" }, "/").catch(
        (caught: unknown) => caught,
      );
      expect(error).toMatchObject({ code: "connection-invalid" });
      expect(hideUrlCredentials(String(error))).not.toContain("s3cret");
    }
  });
});
