import { describeWithEngines } from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { runCommandLine } from "../../run-command-line.ts";
import { type RealInstance, startRealInstance } from "../../testing/real-instance.ts";
import { answerJson, stubInstance } from "../../testing/stub-instance.ts";
import { testContext } from "../../testing/test-context.ts";

describeWithEngines(["postgres"], "accounts on the command line, with an instance", () => {
  let instance: RealInstance;
  beforeAll(async () => {
    instance = await startRealInstance();
    await succeeds("user", "create", "ann", "--role", "administrator", "--display-name", "Ann Lee");
    await succeeds("user", "create", "ben");
    await succeeds("org", "create", "crew", "--display-name", "The crew");
  });
  afterAll(async () => instance?.[Symbol.asyncDispose]());

  async function succeeds(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await instance.airlock(args);
    expect([code, stderr], args.join(" ")).toEqual([0, expect.not.stringContaining("error")]);
    return stdout;
  }

  it("`whoami` says that the administrator's token has no user", async () => {
    expect(await succeeds("whoami")).toMatch(
      /^instance +http:.*\ncredential +AIRLOCK_TOKEN\nuser +none: .*\nrole +adm/,
    );
    expect(JSON.parse(await succeeds("whoami", "--json"))).toMatchObject({
      instance: `${instance.url}/`,
      credential: "AIRLOCK_TOKEN",
      user: null,
      role: "administrator",
      namespaces: [],
    });
  });

  it("lists, shows and changes users", async () => {
    expect(await succeeds("user", "list")).toMatch(/\nann +administrator +enabled .* Ann Lee\nben +member +enabled/);
    const first = await instance.airlock(["user", "list", "--limit", "1"]);
    expect(first.stderr).toBe("more users: add --after ann\n");
    expect(await succeeds("user", "list", "--after", "ann")).not.toContain("ann");
    expect(await succeeds("user", "set-role", "ben", "administrator")).toBe("user ben is an administrator\n");
    expect(await succeeds("user", "disable", "ben")).toBe("user ben disabled\n");
    expect(JSON.parse(await succeeds("user", "show", "ben", "--json"))).toMatchObject({
      role: "administrator",
      disabled: true,
    });
    const last = await instance.airlock(["user", "set-role", "ann", "member"]);
    expect([last.code, last.stderr]).toEqual([1, expect.stringContaining("would have no administrator")]);
    await succeeds("user", "enable", "ben");
    expect(await succeeds("user", "set-role", "ben", "member")).toBe("user ben is a member\n");
  });

  it("sets members of organizations and their roles", async () => {
    expect(await succeeds("org", "list")).toMatch(/\ncrew +- .* The crew\n/);
    expect(await succeeds("org", "member", "add", "crew", "ann", "--role", "owner")).toBe("ann is an owner of crew\n");
    expect(await succeeds("org", "member", "add", "crew", "ben")).toBe("ben is a member of crew\n");
    expect(await succeeds("org", "member", "set-role", "crew", "ben", "viewer")).toBe("ben is a viewer of crew\n");
    expect(await succeeds("org", "member", "list", "crew")).toMatch(/\nann +owner +Ann Lee\nben +viewer +-\n/);
    expect(await succeeds("org", "member", "remove", "crew", "ben")).toBe("ben removed from crew\n");
    expect(JSON.parse(await succeeds("org", "member", "list", "crew", "--json")).members).toHaveLength(1);
    expect(JSON.parse(await succeeds("org", "show", "crew", "--json"))).toMatchObject({ displayName: "The crew" });
    const missing = await instance.airlock(["org", "member", "add", "crew", "zoe"]);
    expect([missing.code, missing.stderr]).toEqual([1, expect.stringContaining("zoe")]);
  });

  it("a user's link sets a password, and the user's access token is listed, used and revoked", async () => {
    const { stdout: link, stderr } = await instance.airlock(["user", "reset-link", "ann"]);
    expect(stderr).toContain("valid once");
    const { origin, pathname, hash } = new URL(link);
    expect([origin, pathname]).toEqual([instance.url, "/password"]);
    const headers = { origin, "content-type": "application/json", "sec-fetch-site": "same-origin" };
    const post = (path: string, body: unknown, cookie = "") =>
      fetch(`${origin}/api/v1/${path}`, {
        method: "POST",
        headers: { ...headers, ...(cookie === "" ? {} : { cookie }) },
        body: JSON.stringify(body),
      });
    const token = new URLSearchParams(hash.slice(1).trim()).get("token");
    const session = await post("password", { token, password: "correct horse 42 staple" });
    expect(session.status).toBe(200);
    const cookie = session.headers.getSetCookie().map((line) => line.split(";")[0]);
    const created = await post(
      "account/tokens",
      { name: "laptop", scopes: ["read"], expiresAt: null },
      cookie.join("; "),
    );
    expect(created.status).toBe(201);
    const access = (await created.json()) as { id: number; token: string };

    const own = { AIRLOCK_TOKEN: access.token };
    const who = await instance.airlock(["whoami"], { env: own });
    expect(who.stdout).toMatch(/\nuser +ann \(Ann Lee\)\nrole +administrator\n/);
    expect((await instance.airlock(["token", "list", "--user", "ann"], { env: own })).code).toBe(1);
    expect(await succeeds("token", "list", "--user", "ann")).toMatch(/laptop +read .* never\n/);
    expect(await succeeds("token", "revoke", String(access.id), "--user", "ann")).toContain("revoked");
    expect((await instance.airlock(["token", "list", "--user", "ann"])).stderr).toBe("ann has no access tokens\n");
    expect((await instance.airlock(["whoami"], { env: own })).code).toBe(1);
  });
});

describe("lists of accounts", () => {
  it("print no control sequences of names", async () => {
    const hostile = "ann\u001b[2J\u202e";
    const createdAt = "2026-01-01T00:00:00.000Z";
    await using instance = await stubInstance({
      "GET users?limit=50": (_, response) =>
        answerJson(response, {
          users: [{ name: hostile, displayName: hostile, role: "member", disabled: false, createdAt }],
          next: hostile,
        }),
      "GET organizations?limit=50": (_, response) =>
        answerJson(response, {
          organizations: [{ name: hostile, displayName: hostile, role: null, createdAt }],
          next: hostile,
        }),
      "GET organizations/crew/members?limit=50": (_, response) =>
        answerJson(response, { members: [{ user: hostile, displayName: hostile, role: "owner" }], next: hostile }),
    });
    for (const args of [
      ["user", "list"],
      ["org", "list"],
      ["org", "member", "list", "crew"],
    ]) {
      const context = testContext({ env: instance.env });
      await runCommandLine(args, context);
      const { stdout, stderr } = context.printed;
      expect(stdout).toContain("ann");
      expect(stderr).toContain("--after ann");
      for (const hidden of "\u001b\u202e") expect(stdout + stderr).not.toContain(hidden);
    }
  });
});
