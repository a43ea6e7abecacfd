import { ApiError, MemberList, OrganizationList, SecretList, UserList } from "@airlock/api";
import { createDatabase, describeWithEngines, engines } from "@airlock/test-kit";
import pg from "pg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { signedInUser } from "../../testing/sign-in.ts";
import { startTestInstance, type TestInstance } from "../../testing/test-instance.ts";

describeWithEngines(["postgres"], "users and organizations", () => {
  let target: TestInstance;
  beforeAll(async () => {
    target = await startTestInstance(await createDatabase(engines().postgres?.url ?? ""));
  });
  afterAll(async () => {
    await target?.[Symbol.asyncDispose]();
  });

  async function refused(work: Promise<Response>, status: number): Promise<ApiError["error"]> {
    const response = await work;
    const { error } = ApiError.parse(await response.json());
    expect(response.status, error.message).toBe(status);
    return error;
  }
  async function done(work: Promise<Response>): Promise<unknown> {
    const response = await work;
    const text = await response.text();
    expect(response.ok, text).toBe(true);
    return text === "" ? null : JSON.parse(text);
  }
  const createUser = (name: string, role = "member") => target.rest("POST", "/users", { name, role });
  const createOrganization = (name: string) => target.rest("POST", "/organizations", { name });

  describe("an organization", () => {
    it("is not deleted while it has secrets or jobs that have not ended", async () => {
      await done(createOrganization("quarry"));
      const job = (await done(
        target.rest("POST", "/jobs", { namespace: "quarry", steps: [{ image: "alpine", run: "true" }] }),
      )) as { id: number };
      await done(target.rest("PUT", "/secrets/KEY", { namespace: "quarry", value: "the value" }));
      const both = await refused(target.rest("DELETE", "/organizations/quarry"), 409);
      expect([both.code, both.message]).toEqual([
        "organization-in-use",
        'the organization "quarry" has 1 job that has not ended and 1 secret',
      ]);
      await done(target.rest("POST", `/jobs/${job.id}/cancel`));
      expect((await refused(target.rest("DELETE", "/organizations/quarry"), 409)).message).toMatch(/has 1 secret$/);
      await done(target.rest("DELETE", "/secrets/KEY?namespace=quarry"));
      await done(target.rest("DELETE", "/organizations/quarry"));
      expect((await done(target.rest("GET", `/jobs/${job.id}`))) as object).toMatchObject({ namespace: "quarry" });
    });

    it("that is deleted is gone for its members at once, and its name stays taken", async () => {
      await done(createOrganization("mill"));
      const cookie = await signedInUser(target, "mia");
      await done(target.rest("PUT", "/organizations/mill/members/mia", { role: "owner" }));
      const asMia = (method: string, path: string) =>
        fetch(`${target.url}/api/v1${path}`, { method, headers: { cookie, origin: target.url } });
      expect((await asMia("DELETE", "/organizations/mill")).status).toBe(403);
      expect((await asMia("GET", "/organizations/mill")).status).toBe(200);
      await done(target.rest("DELETE", "/organizations/mill"));
      expect((await asMia("GET", "/organizations/mill")).status).toBe(404);
      await refused(target.rest("DELETE", "/organizations/mill"), 404);
      await refused(target.rest("GET", "/organizations/mill"), 404);
      await refused(target.rest("PATCH", "/organizations/mill", { displayName: "x" }), 404);
      await refused(target.rest("PUT", "/organizations/mill/members/mia", { role: "viewer" }), 404);
      expect((await refused(createOrganization("mill"), 409)).code).toBe("name-taken");
      const submission = target.rest("POST", "/jobs", { namespace: "mill", steps: [{ image: "alpine", run: "true" }] });
      expect((await refused(submission, 422)).code).toBe("unknown-namespace");
      const secret = target.rest("PUT", "/secrets/KEY", { namespace: "mill", value: "the value" });
      expect((await refused(secret, 422)).code).toBe("unknown-namespace");
      const { organizations } = OrganizationList.parse(await done(target.rest("GET", "/organizations?text=mill")));
      expect(organizations).toEqual([]);
    });

    it("named default can't be deleted, and a user can't be deleted as one", async () => {
      expect((await refused(target.rest("DELETE", "/organizations/default"), 409)).code).toBe("organization-in-use");
      await done(createUser("olga"));
      await refused(target.rest("DELETE", "/organizations/olga"), 404);
    });
  });

  describe("names", () => {
    it("are shared by users and organizations", async () => {
      await done(createUser("ann"));
      await done(createOrganization("builders"));
      expect((await refused(createOrganization("ann"), 409)).code).toBe("name-taken");
      expect((await refused(createUser("builders"), 409)).code).toBe("name-taken");
    });

    it("of two accounts never look the same", async () => {
      await done(createUser("modern1"));
      for (const name of ["modernl", "modem1", "rnodern1"]) {
        const { code, message } = await refused(createOrganization(name), 409);
        expect([code, message]).toEqual([
          "name-taken",
          `the name "${name}" is too similar to the name of another account`,
        ]);
      }
    });

    it("can be created only once, also at the same time", async () => {
      const answers = await Promise.all(["twin0", "twino", "twin0", "twino"].map((name) => createUser(name)));
      expect(answers.map(({ status }) => status).sort()).toEqual([201, 409, 409, 409]);
    });

    it.each([
      ["Ann", "lower-case letters"],
      ["аnn", "lower-case letters"],
      ["ann\u200b", "lower-case letters"],
      ["-ann", "lower-case letters"],
      ["a".repeat(64), "at most 63"],
      ["", "lower-case letters"],
      ["admin", "reserved"],
      ["api", "reserved"],
    ])("refuse %j", async (name, problem) => {
      for (const path of ["/users", "/organizations"]) {
        const { issues } = await refused(target.rest("POST", path, { name }), 400);
        expect(issues?.join()).toContain(problem);
        expect(issues?.join()).toContain("name:");
      }
    });

    it("that a job or a secret uses become organizations", async () => {
      await target.submit({ namespace: "from-job" });
      await done(target.rest("PUT", "/secrets/TOKEN", { value: "value", namespace: "from-secret" }));
      const { organizations } = OrganizationList.parse(await done(target.rest("GET", "/organizations?text=from-")));
      expect(organizations.map(({ name }) => name)).toEqual(["from-job", "from-secret"]);
      expect((await refused(createUser("from-job"), 409)).code).toBe("name-taken");
    });

    it("of a user stay a namespace of jobs", async () => {
      await done(createUser("worker"));
      await target.submit({ namespace: "worker" });
      expect((await refused(target.rest("GET", "/organizations/worker"), 404)).code).toBe("not-found");
    });
  });

  describe("administrators", () => {
    it("can't all be disabled or demoted, not even at the same time", async () => {
      await done(createUser("chief", "administrator"));
      expect((await refused(target.rest("PATCH", "/users/chief", { role: "member" }), 409)).code).toBe(
        "last-administrator",
      );
      expect((await refused(target.rest("PATCH", "/users/chief", { disabled: true }), 409)).code).toBe(
        "last-administrator",
      );
      await done(createUser("deputy", "administrator"));
      const answers = await Promise.all([
        target.rest("PATCH", "/users/chief", { disabled: true }),
        target.rest("PATCH", "/users/deputy", { role: "member" }),
      ]);
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 409]);
    });

    it("can change a member without being one", async () => {
      await done(createUser("intern"));
      expect(
        await done(target.rest("PATCH", "/users/intern", { displayName: "In Tern", disabled: true })),
      ).toMatchObject({
        displayName: "In Tern",
        disabled: true,
        role: "member",
      });
      expect(await done(target.rest("PATCH", "/users/intern", { disabled: false }))).toMatchObject({
        displayName: "In Tern",
        disabled: false,
      });
      await refused(target.rest("PATCH", "/users/nobody-here", { role: "member" }), 404);
    });
  });

  it("have members with roles", async () => {
    await done(createOrganization("crew"));
    await done(createUser("sam"));
    const member = "/organizations/crew/members/sam";
    await done(target.rest("PUT", member, { role: "viewer" }));
    await done(target.rest("PUT", member, { role: "owner" }));
    const members = MemberList.parse(await done(target.rest("GET", "/organizations/crew/members")));
    expect(members).toEqual({ members: [{ user: "sam", displayName: "", role: "owner" }], next: null });
    await done(target.rest("DELETE", member));
    expect((await refused(target.rest("DELETE", member), 404)).message).toBe('"sam" is not a member of "crew"');
    expect((await refused(target.rest("PUT", member, { role: "king" }), 400)).issues?.[0]).toContain("role");
    expect(
      (await refused(target.rest("PUT", "/organizations/crew/members/ghost", { role: "owner" }), 404)).message,
    ).toBe('no user named "ghost"');
    expect(
      (await refused(target.rest("PUT", "/organizations/ghosts/members/sam", { role: "owner" }), 404)).message,
    ).toBe('no organization named "ghosts"');
    // A user's namespace has no members.
    await refused(target.rest("PUT", "/organizations/sam/members/sam", { role: "owner" }), 404);
  });

  it("are listed in pages and found by text, among 10,000", async () => {
    const client = new pg.Client({ connectionString: target.instance.databaseUrl });
    await client.connect();
    await client.query(`with names as (
        insert into namespaces (name, kind, display_name)
        select 'many-' || lpad(i::text, 5, '0'), 'user', 'Person ' || i from generate_series(1, 10000) i returning name)
      insert into users (name, role) select name, 'member' from names`);
    await client.end();
    const first = UserList.parse(await done(target.rest("GET", "/users?text=MANY-&limit=200")));
    expect(first.users).toHaveLength(200);
    const second = UserList.parse(await done(target.rest("GET", `/users?text=many-&limit=200&after=${first.next}`)));
    expect(second.users[0]?.name).toBe("many-00201");
    const found = UserList.parse(await done(target.rest("GET", "/users?text=person%209999")));
    expect(found.users.map(({ name }) => name)).toEqual(["many-09999"]);
    await refused(target.rest("GET", "/users?limit=201"), 400);
    expect(UserList.parse(await done(target.rest("GET", "/users?text=%25"))).users).toEqual([]);
  });

  it("own their jobs and secrets that name no namespace", async () => {
    const members = await signedInUser(target, "home-body");
    const chiefs = await signedInUser(target, "home-chief", "administrator");
    const call = async (cookie: string, method: string, path: string, body?: object) => {
      const type = body && { "content-type": "application/json" };
      const answer = await done(
        fetch(`${target.url}/api/v1${path}`, {
          method,
          headers: { cookie, "sec-fetch-site": "same-origin", ...type },
          ...(body && { body: JSON.stringify(body) }),
        }),
      );
      return (answer as { namespace: string | null } | null)?.namespace;
    };
    const job = { steps: [{ image: "alpine", run: "true" }] };
    expect(await call(members, "POST", "/jobs", job)).toBe("home-body");
    expect(await call(chiefs, "POST", "/jobs", job)).toBe("home-chief");
    expect(await done(target.rest("POST", "/jobs", job))).toMatchObject({ namespace: "default" });
    expect(await call(members, "PUT", "/secrets/OF_HOME", { value: "value" })).toBe("home-body");
    // Only administrators can set secrets for all jobs, so that stays their default.
    expect(await call(chiefs, "PUT", "/secrets/OF_HOME", { value: "value" })).toBe(null);
    await call(members, "DELETE", "/secrets/OF_HOME");
    const { secrets } = SecretList.parse(await done(target.rest("GET", "/secrets")));
    expect(secrets.filter(({ name }) => name === "OF_HOME").map(({ namespace }) => namespace)).toEqual([null]);
  });
});
