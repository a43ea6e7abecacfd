import { chmod, mkdir, readFile, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { PassThrough } from "node:stream";
import { describeWithEngines, temporaryDirectory } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../run-command-line.ts";
import { type RealInstance, startRealInstance } from "../testing/real-instance.ts";
import { testContext } from "../testing/test-context.ts";

const noVariables = { AIRLOCK_URL: "", AIRLOCK_TOKEN: "" };

async function airlock(args: readonly string[], options: Parameters<typeof testContext>[0]) {
  const context = testContext(options);
  await runCommandLine(args, context);
  return { code: context.exitCode ?? 0, ...context.printed };
}

describeWithEngines(["postgres"], "`airlock login` with an instance", () => {
  let instance: RealInstance;
  beforeAll(async () => {
    instance = await startRealInstance();
  });
  afterAll(async () => instance?.[Symbol.asyncDispose]());

  it("stores a token that works, for several instances, and forgets it", async () => {
    await using home = await temporaryDirectory();
    const env = { XDG_CONFIG_HOME: home.path };
    const options = { env, cwd: home.path };
    const token = instance.env.AIRLOCK_TOKEN ?? "";
    // The same instance by another name of its host.
    const other = instance.url.replace("127.0.0.1", "localhost");
    const login = await airlock(["login", instance.url, "--name", "work", "--token-stdin"], {
      ...options,
      stdin: `${token}\n`,
    });
    expect(login).toEqual({ code: 0, stdout: "logged in to work with the administrator's token\n", stderr: "" });
    const file = path.join(home.path, "airlock", "credentials.json");
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    expect((await stat(path.dirname(file))).mode & 0o777).toBe(0o700);

    const second = await airlock(["login", other, "--token-stdin", "--json"], { ...options, stdin: token });
    const { host } = new URL(other);
    expect(JSON.parse(second.stdout)).toMatchObject({ name: host, url: `${other}/`, user: null });
    const taken = await airlock(["login", other, "--name", "work", "--token-stdin"], { ...options, stdin: token });
    expect([taken.code, taken.stderr]).toEqual([2, expect.stringContaining("--name")]);

    expect((await airlock(["whoami"], options)).stdout).toContain(`${other}/`);
    const chosen = { ...options, env: { ...env, AIRLOCK_INSTANCE: "work" } };
    expect((await airlock(["whoami"], chosen)).stdout).toContain(`${instance.url}/`);
    expect((await airlock(["instance", "use", instance.url], options)).code).toBe(0);
    const listed = await airlock(["instance", "list"], options);
    expect(listed.stdout).toMatch(/\nwork +yes +http/);
    expect(listed.stdout + (await airlock(["instance", "list", "--json"], options)).stdout).not.toContain(token);

    const fromEnvironment = await instance.airlock(["whoami"], { env });
    expect(fromEnvironment.stdout).toContain("AIRLOCK_TOKEN");

    const logout = await airlock(["logout"], options);
    expect([logout.stdout, logout.stderr]).toEqual([
      "token of work forgotten\n",
      expect.stringContaining(`${instance.url}/account`),
    ]);
    expect(JSON.parse(await readFile(file, "utf8"))).toMatchObject({ current: null, instances: [{ name: host }] });
    expect((await airlock(["whoami"], options)).code).toBe(1);
  });

  it("is followed by commands for the instance that --instance names", async () => {
    await using home = await temporaryDirectory();
    const token = instance.env.AIRLOCK_TOKEN ?? "";
    const login = { env: { XDG_CONFIG_HOME: home.path }, cwd: home.path, stdin: token };
    for (const [name, url] of [
      ["work", instance.url],
      ["other", instance.url.replace("127.0.0.1", "localhost")],
    ]) {
      expect((await airlock(["login", url ?? "", "--name", name ?? "", "--token-stdin"], login)).code).toBe(0);
    }
    // Wins over the variables.
    const env = { XDG_CONFIG_HOME: home.path, AIRLOCK_URL: "http://127.0.0.1:9", AIRLOCK_TOKEN: "x" };
    const who = await airlock(["--instance", "work", "whoami", "--json"], { env: { ...env }, cwd: home.path });
    expect([who.code, JSON.parse(who.stdout)]).toMatchObject([0, { instance: `${instance.url}/` }]);
    const unknown = await airlock(["--instance", "nowhere", "whoami"], { env: { ...env }, cwd: home.path });
    expect([unknown.code, unknown.stderr]).toEqual([1, expect.stringContaining("nowhere")]);
    expect((await airlock(["--instance", "", "whoami"], { env: { ...env }, cwd: home.path })).code).toBe(2);
  });

  it("stores the token that a person confirms in a browser, after the code of the page was typed", async () => {
    await using home = await temporaryDirectory();
    const call = (method: string, route: string, body?: object, headers?: Record<string, string>) =>
      fetch(`${instance.url}/api/v1/${route}`, {
        method,
        headers: { "content-type": "application/json", "sec-fetch-site": "same-origin", ...headers },
        body: JSON.stringify(body ?? {}),
      });
    const administrator = { authorization: `Bearer ${instance.env.AIRLOCK_TOKEN}` };
    await call("POST", "users", { name: "ann" }, administrator);
    const link = await call("POST", "users/ann/password-link", {}, administrator);
    const { token } = (await link.json()) as { token: string };
    const signedIn = await call("POST", "password", { token, password: "violet ladder seven kites" });
    const cookie = signedIn.headers.getSetCookie().find((text) => text.startsWith("airlock_session=")) ?? "";

    const stdin = new PassThrough();
    const options = { env: { XDG_CONFIG_HOME: home.path }, cwd: home.path };
    const context = testContext({ ...options, stdin, isTerminal: true });
    const running = runCommandLine(["login", instance.url, "--name", "work"], context);
    const shownLink = () => /open (http\S+\/connect\?code=(\S+))/.exec(context.printed.stderr);
    await expect.poll(shownLink).not.toBeNull();
    const [, page = "", code = ""] = shownLink() ?? [];
    expect(page).toBe(`${instance.url}/connect?code=${code}`);
    expect(context.printed.stderr).toContain(`confirm only if the page shows the code ${code}`);
    stdin.write("nonsense\n");
    await expect.poll(() => context.printed.stderr).toContain("must be a code of 8 letters and digits");
    stdin.write("BCDF-GHJK\n");
    await expect.poll(() => context.printed.stderr).toContain("Tries left: 4");
    const body = { name: "laptop", scopes: ["read", "jobs"], expiresAt: null };
    const confirmed = await call("POST", `account/command-line-logins/${code}`, body, {
      cookie: cookie.split(";")[0] ?? "",
    });
    const { confirmationCode } = (await confirmed.json()) as { confirmationCode: string };
    stdin.write(`${confirmationCode}\n`);
    await running;
    expect([context.exitCode ?? 0, context.printed.stdout]).toEqual([0, "logged in to work as ann\n"]);
    const file = await readFile(path.join(home.path, "airlock", "credentials.json"), "utf8");
    expect(JSON.parse(file)).toMatchObject({
      current: "work",
      instances: [{ name: "work", token: expect.stringMatching(/^airlock_pat_/) as string }],
    });
    expect(context.printed.stderr).not.toContain("airlock_pat_");
    expect(JSON.parse((await airlock(["whoami", "--json"], options)).stdout)).toMatchObject({ user: { name: "ann" } });
  });

  it("logs nobody in without a code", async () => {
    await using home = await temporaryDirectory();
    const options = { env: { XDG_CONFIG_HOME: home.path }, cwd: home.path, isTerminal: true };
    const { code, stderr } = await airlock(["login", instance.url], options);
    expect([code, stderr]).toEqual([2, expect.stringContaining("no code was typed")]);
    await expect(stat(path.join(home.path, "airlock"))).rejects.toMatchObject({ code: "ENOENT" });
  });

  it("stores nothing for a token that the instance refuses, and prints nothing of it", async () => {
    await using home = await temporaryDirectory();
    const wrong = "airlock_pat_wrong";
    const { code, stdout, stderr } = await airlock(["login", instance.url, "--token-stdin"], {
      env: { ...noVariables, HOME: home.path },
      cwd: home.path,
      stdin: wrong,
    });
    expect([code, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("account page");
    expect(stderr).not.toContain(wrong);
    await expect(stat(path.join(home.path, ".config"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});

describe("stored credentials", () => {
  const content = JSON.stringify({ current: "x", instances: [{ name: "x", url: "http://127.0.0.1:9/", token: "t" }] });

  it.each([
    [0o640, content, "not private"],
    [0o602, content, "not private"],
    [0o600, "{", "not a file with credentials"],
    [0o600, JSON.stringify({ current: "x", instances: [{ name: "x", url: "http://u:p@h/", token: "t" }] }), "password"],
    [0o600, content, "127.0.0.1:9"],
  ])("with mode %o and content %j make commands fail: %s", async (mode, text, message) => {
    await using home = await temporaryDirectory();
    const file = path.join(home.path, "airlock", "credentials.json");
    await mkdir(path.dirname(file));
    await writeFile(file, text);
    await chmod(file, mode);
    const { code, stderr } = await airlock(["whoami"], { env: { XDG_CONFIG_HOME: home.path }, cwd: home.path });
    expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
  });

  it("need a token from a terminal or from standard input", async () => {
    await using home = await temporaryDirectory();
    const { code, stderr } = await airlock(["login", "http://127.0.0.1:9"], {
      env: { HOME: home.path },
      cwd: home.path,
    });
    expect([code, stderr]).toEqual([2, expect.stringContaining("--token-stdin")]);
  });
});
