import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { temporaryDirectory } from "@airlock/test-kit";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { readDockerConfig } from "./docker-config.ts";
import { DockerConfigCredentials } from "./docker-config-credentials.ts";

const signal = new AbortController().signal;
const encode = (text: string) => Buffer.from(text).toString("base64");

let stack: AsyncDisposableStack;
let dir: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = stack.use(await temporaryDirectory()).path;
  await mkdir(join(dir, "bin"));
});
afterEach(() => stack.disposeAsync());

async function write(config: unknown): Promise<string> {
  const file = join(dir, "config.json");
  await writeFile(file, typeof config === "string" ? config : JSON.stringify(config));
  return file;
}

/** Creates a helper as a shell script. `$server` is its input. Its arguments, input and environment are recorded. */
async function helper(name: string, script: string): Promise<void> {
  const program = join(dir, "bin", `docker-credential-${name}`);
  const record = `read server; { echo "$0 $*"; echo "$server"; env; } >> ${dir}/${name}.log`;
  await writeFile(program, `#!/bin/sh\n${record}\n${script}\n`);
  await chmod(program, 0o755);
}

function credentials(file: string, helperAgeMs?: number): DockerConfigCredentials {
  const env = { PATH: `${join(dir, "bin")}:/usr/bin:/bin`, HOME: dir };
  return new DockerConfigCredentials({ file, env, ...(helperAgeMs === undefined ? {} : { helperAgeMs }) });
}

describe("the credentials of Docker's config.json", () => {
  it("are found in all forms that Docker writes, by any spelling of the registry", async () => {
    const file = await write({
      auths: {
        "https://index.docker.io/v1/": { auth: encode("hub:a:b") },
        "Registry.Example.com:443": { username: "plain", password: "p" },
        "token.example.com": { auth: encode("ignored:x"), identitytoken: "refresh" },
        "other.example.com": { auth: encode("<token>:refresh-too") },
        "bearer.example.com": { registrytoken: "as-it-is" },
        "empty.example.com": {},
      },
    });
    const own = credentials(file);
    const find = (registry: string) => own.find(registry, { signal });

    expect(await find("docker.io")).toEqual({ username: "hub", password: "a:b" });
    expect(await find("registry.example.com")).toEqual({ username: "plain", password: "p" });
    expect(await find("token.example.com")).toMatchObject({ identityToken: "refresh" });
    expect(await find("other.example.com")).toEqual({ username: "", password: "", identityToken: "refresh-too" });
    expect(await find("bearer.example.com")).toEqual({ username: "", password: "", registryToken: "as-it-is" });
    expect(await find("empty.example.com")).toBeUndefined();
    expect(await find("constructor")).toBeUndefined();
  });

  it("come from the registry's helper, else from the store, else from the file", async () => {
    await helper("one", `echo '{"ServerURL":"x","Username":"of-one","Secret":"secret-of-one"}'`);
    await helper(
      "store",
      `case $server in
        stored.example.com) echo '{"Username":"of-store","Secret":"s"}';;
        https://index.docker.io/v1/) echo '{"Username":"<token>","Secret":"refresh"}';;
        *) echo "credentials not found in native keychain"; exit 1;;
      esac`,
    );
    const file = await write({
      auths: { "written.example.com": { auth: encode("written:w") }, "stored.example.com": {} },
      credHelpers: { "one.example.com:5000": "one" },
      credsStore: "store",
    });
    const own = credentials(file);
    const find = (registry: string) => own.find(registry, { signal });

    expect(await find("one.example.com:5000")).toEqual({ username: "of-one", password: "secret-of-one" });
    expect(await find("stored.example.com")).toEqual({ username: "of-store", password: "s" });
    expect(await find("docker.io")).toEqual({ username: "", password: "", identityToken: "refresh" });
    expect(await find("written.example.com")).toEqual({ username: "written", password: "w" });
    expect(await find("unknown.example.com")).toBeUndefined();

    const log = await readFile(join(dir, "one.log"), "utf8");
    expect(log).toContain(`${join(dir, "bin", "docker-credential-one")} get\none.example.com:5000\n`);
    const names = [...log.matchAll(/^([A-Za-z_]+)=/gm)].map(([, name]) => name);
    // The shell sets these variables itself.
    expect(names.filter((name) => !["PWD", "OLDPWD", "SHLVL", "_"].includes(name ?? "")).sort()).toEqual([
      "HOME",
      "PATH",
    ]);
  });

  it("are requested from a helper once, and again after some time", async () => {
    await helper("counted", `echo '{"Username":"u","Secret":"s"}'`);
    const file = await write({ credsStore: "counted" });
    const asked = async () => (await readFile(join(dir, "counted.log"), "utf8")).split("a.example.com").length - 1;
    const own = credentials(file);
    for (let job = 0; job < 3; job += 1) await own.find("a.example.com", { signal });
    expect(await asked()).toBe(1);

    const forgetful = credentials(file, 0);
    for (let job = 0; job < 2; job += 1) await forgetful.find("a.example.com", { signal });
    expect(await asked()).toBe(3);
  });

  it.each([
    ["fails", `echo "the secret is hunter2" >&2; echo hunter2; exit 3`, /ended with 3/],
    ["does not print JSON", "echo hunter2", /is not credentials/],
    ["prints too much", "yes hunter2 | head -c 3000000", /printed too much/],
  ])("are not accepted from a helper that %s, and its output is never shown", async (_, script, message) => {
    await helper("bad", script);
    const file = await write({ credHelpers: { "a.example.com": "bad" } });

    const error: unknown = await credentials(file)
      .find("a.example.com", { signal })
      .catch((reason: unknown) => reason);

    expect(error).toMatchObject({ reason: "image-unavailable", message: expect.stringMatching(message) });
    expect(JSON.stringify(error, Object.getOwnPropertyNames(error))).not.toContain("hunter2");
  });

  it("cause an error if a helper is missing, and stop a helper that the job no longer waits for", async () => {
    const file = await write({ credsStore: "missing" });
    await expect(credentials(file).find("a.example.com", { signal })).rejects.toThrow(
      /docker-credential-missing is not on PATH/,
    );

    await helper("slow", "sleep 60");
    const slow = await write({ credsStore: "slow" });
    const stop = AbortSignal.timeout(200);
    const startedAt = performance.now();
    await expect(credentials(slow).find("a.example.com", { signal: stop })).rejects.toMatchObject({
      name: "TimeoutError",
    });
    expect(performance.now() - startedAt).toBeLessThan(5_000);
  });

  it("are empty without a file; a file in another format is refused without showing its content", async () => {
    expect(await credentials(join(dir, "none.json")).find("docker.io", { signal })).toBeUndefined();
    await expect(readDockerConfig(await write(`{"auths": "hunter2"`))).rejects.not.toThrow(/hunter2/);
    // A helper's name becomes part of a program's name.
    await expect(readDockerConfig(await write({ credsStore: "../../evil" }))).rejects.toMatchObject({
      code: "invalid-configuration",
    });
  });
});
