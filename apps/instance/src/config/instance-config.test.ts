import { describe, expect, it } from "vitest";
import { parseConfig } from "./instance-config.ts";

describe("parseConfig", () => {
  it("reads the addresses of trusted proxies", () => {
    expect(parseConfig({}, {}).trustedProxies).toEqual([]);
    const env = { AIRLOCK_TRUSTED_PROXIES: "127.0.0.1, 10.0.0.0/8\n2001:db8::/32" };
    expect(parseConfig(env, {}).trustedProxies).toEqual(["127.0.0.1", "10.0.0.0/8", "2001:db8::/32"]);
    for (const wrong of ["proxy", "10.0.0.0/33", "10.0.0.0/x", "::1/129", "true"]) {
      expect(() => parseConfig({ AIRLOCK_TRUSTED_PROXIES: wrong }, {})).toThrow(
        /AIRLOCK_TRUSTED_PROXIES: .* is not an IP address or a network/,
      );
    }
  });

  it("has a default for everything", () => {
    expect(parseConfig({}, {})).toMatchObject({
      listen: { host: "127.0.0.1", port: 7080 },
      dataDirectory: `${process.cwd()}/.airlock`,
      databaseUrl: null,
      administratorToken: null,
      executorToken: null,
      allowLocalRepositories: false,
      acceptSharedSecret: true,
      legacySharedSecret: false,
      logLevel: "info",
    });
  });

  it("lets flags override the environment, and treats an empty variable as unset", () => {
    const env = { AIRLOCK_LISTEN: "0.0.0.0:80", AIRLOCK_DATA_DIR: "/a", AIRLOCK_TOKEN: "" };
    expect(parseConfig(env, { listen: "[::1]:0", dataDirectory: "/b" })).toMatchObject({
      listen: { host: "::1", port: 0 },
      dataDirectory: "/b",
      administratorToken: null,
    });
  });

  it.each(["x", "127.0.0.1", "127.0.0.1:99999", "a b:80", "http://x:80"])("refuses to listen on %j", (listen) => {
    expect(() => parseConfig({}, { listen })).toThrow(/AIRLOCK_LISTEN: .* is not HOST:PORT/);
  });

  it("takes the keys of secrets from a variable or a file, but not from both", () => {
    expect(parseConfig({}, {}).secretKeys).toBeNull();
    expect(parseConfig({ AIRLOCK_SECRET_KEY: "k" }, {}).secretKeys).toEqual({ kind: "text", text: "k" });
    expect(parseConfig({ AIRLOCK_SECRET_KEY_FILE: "/run/key" }, {}).secretKeys).toEqual({
      kind: "file",
      file: "/run/key",
    });
    const both = { AIRLOCK_SECRET_KEY: "hunter2", AIRLOCK_SECRET_KEY_FILE: "/run/key" };
    expect(() => parseConfig(both, {})).toThrow("AIRLOCK_SECRET_KEY and AIRLOCK_SECRET_KEY_FILE are both set");
  });

  it.each(["AIRLOCK_JOB_RETENTION", "AIRLOCK_ARTIFACT_RETENTION"])("accepts at most a century for %s", (name) => {
    expect(() => parseConfig({ [name]: "36500d" }, {})).not.toThrow();
    expect(() => parseConfig({ [name]: "36501d" }, {})).toThrow(`${name}: must be at most 36500d`);
  });

  it("accepts host names and wildcards as allowed hosts, and refuses anything else", () => {
    const env = { AIRLOCK_ALLOWED_HOSTS: "Ci.example.com, *.example.org\nci" };
    expect(parseConfig(env, {}).allowedHosts).toEqual(["ci.example.com", "*.example.org", "ci"]);
    expect(parseConfig({ AIRLOCK_ALLOWED_HOSTS: "*" }, {}).allowedHosts).toEqual(["*"]);
    for (const wrong of ["https://ci.example.com", "ci.example.com:80", "a.*.b", "*x.example", "a..b", ".b"]) {
      expect(() => parseConfig({ AIRLOCK_ALLOWED_HOSTS: wrong }, {})).toThrow(
        /AIRLOCK_ALLOWED_HOSTS: .* is not a host/,
      );
    }
  });

  it("has quotas for artifacts and code indexes, which the value 0 turns off", () => {
    const none = { totalBytes: null, ownerBytes: null };
    expect(parseConfig({}, {}).storageQuotas.uploads).toEqual({
      totalBytes: 20_000_000_000,
      ownerBytes: 5_000_000_000,
    });
    const env = { AIRLOCK_UPLOAD_QUOTA: "0", AIRLOCK_UPLOAD_REPOSITORY_QUOTA: "0", AIRLOCK_ARTIFACT_QUOTA: "0" };
    expect(parseConfig(env, {}).storageQuotas).toEqual({ artifacts: none, uploads: none });
  });

  it("can switch off the shared secret, but not for executors that need it", () => {
    expect(parseConfig({ AIRLOCK_SHARED_SECRET: "false" }, {}).acceptSharedSecret).toBe(false);
    const both = { AIRLOCK_SHARED_SECRET: "false", AIRLOCK_LEGACY_SHARED_SECRET: "true" };
    expect(() => parseConfig(both, {})).toThrow("AIRLOCK_LEGACY_SHARED_SECRET is on, but AIRLOCK_SHARED_SECRET is off");
  });

  describe("of OpenID Connect", () => {
    const whole = {
      AIRLOCK_EXTERNAL_URL: "https://airlock.example.com/",
      AIRLOCK_OIDC_ISSUER: "https://sso.example.com/realms/main",
      AIRLOCK_OIDC_CLIENT_ID: "airlock",
      AIRLOCK_OIDC_CLIENT_SECRET: "secret",
    };

    it("needs the issuer, the client and the address of the instance", () => {
      expect(parseConfig({}, {}).openIdConnect).toBeNull();
      expect(parseConfig(whole, {}).openIdConnect).toMatchObject({
        redirectUri: "https://airlock.example.com/api/v1/sign-in/oidc/callback",
        label: "sso.example.com",
        createUsers: true,
        sessionMs: 86_400_000,
      });
      for (const name of Object.keys(whole)) {
        expect(() => parseConfig({ ...whole, [name]: "" }, {})).toThrow(`${name} not set`);
      }
    });

    it("refuses issuers that others could read or answer for", () => {
      for (const issuer of [
        "http://sso.example.com",
        "ftp://x",
        "sso",
        "https://u:p@sso.example.com",
        "https://x/?a=b",
      ]) {
        expect(() => parseConfig({ ...whole, AIRLOCK_OIDC_ISSUER: issuer }, {})).toThrow(
          /AIRLOCK_OIDC_ISSUER: must be/,
        );
      }
      expect(parseConfig({ ...whole, AIRLOCK_OIDC_ISSUER: "http://127.0.0.1:9000" }, {}).openIdConnect).not.toBeNull();
    });

    it("names the group whose roles are wrong", () => {
      const groups = (AIRLOCK_OIDC_GROUPS: string) =>
        parseConfig({ ...whole, AIRLOCK_OIDC_GROUPS }, {}).openIdConnect?.groups;
      expect(groups('{"a, b=c": "acme:owner", "ops": ["administrator", "acme:viewer"]}')).toEqual(
        new Map<string, unknown>([
          ["a, b=c", [{ organization: "acme", role: "owner" }]],
          ["ops", ["administrator", { organization: "acme", role: "viewer" }]],
        ]),
      );
      for (const wrong of ["acme", "acme:boss", "Acme:owner", ":owner", "acme:owner:x", "root"]) {
        expect(() => groups(JSON.stringify({ staff: wrong }))).toThrow(/AIRLOCK_OIDC_GROUPS: "staff" must be admin/);
        expect(() => groups(JSON.stringify({ staff: [wrong] }))).toThrow(/AIRLOCK_OIDC_GROUPS: "staff" must be admin/);
      }
      expect(() => groups("engineers=acme:member")).toThrow("AIRLOCK_OIDC_GROUPS: must be JSON");
      expect(() => groups("[]")).toThrow("AIRLOCK_OIDC_GROUPS: must be a JSON object");
      expect(() => parseConfig({ ...whole, AIRLOCK_OIDC_SCOPES: "profile" }, {})).toThrow('must contain "openid"');
    });

    it("lets local accounts be switched off only with a provider", () => {
      const env = { AIRLOCK_LOCAL_ACCOUNTS: "false" };
      expect(() => parseConfig(env, {})).toThrow("AIRLOCK_LOCAL_ACCOUNTS is off, but AIRLOCK_OIDC_ISSUER is not set");
      expect(parseConfig({ ...whole, ...env }, {}).localAccounts).toBe(false);
    });
  });

  it("names every setting that is wrong", () => {
    const env = { AIRLOCK_TOKEN: "short", AIRLOCK_DATABASE_URL: "mysql://x", AIRLOCK_LOG_LEVEL: "loud" };
    expect(() => parseConfig(env, {})).toThrow(/AIRLOCK_DATABASE_URL.*AIRLOCK_TOKEN.*AIRLOCK_LOG_LEVEL/);
  });
});
