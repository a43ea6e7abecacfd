import { AirlockError } from "@airlock/job";
import { describe, expect, it } from "vitest";
import { gitProxySettings } from "./git-proxy-settings.ts";
import { parseProxies, readProxies } from "./parse-proxies.ts";

type Environment = Readonly<Record<string, string>>;

/** The proxy for an address, or "direct". */
function way(env: Environment, address: string): string {
  return readProxies(env).forUrl(new URL(address))?.url.origin ?? "direct";
}

const problems = (env: Environment) => parseProxies(env).problems.join("\n");

describe("the proxy of a request", () => {
  const env = { HTTPS_PROXY: "http://secure.test:1", HTTP_PROXY: "http://plain.test:2" };

  it("depends on the URL's scheme", () => {
    expect(way(env, "https://example.com/")).toBe("http://secure.test:1");
    expect(way(env, "http://example.com/")).toBe("http://plain.test:2");
    expect(way(env, "ssh://example.com/")).toBe("direct");
    expect(way({}, "https://example.com/")).toBe("direct");
  });

  it("is ALL_PROXY's if the scheme has no proxy of its own", () => {
    const all = { ALL_PROXY: "http://all.test:3", HTTPS_PROXY: "http://secure.test:1" };
    expect(way(all, "https://example.com/")).toBe("http://secure.test:1");
    expect(way(all, "http://example.com/")).toBe("http://all.test:3");
  });

  it("is the lower-case variable's if both are set, and an empty variable counts as unset", () => {
    expect(way({ ...env, https_proxy: "http://lower.test:4" }, "https://example.com/")).toBe("http://lower.test:4");
    expect(way({ ...env, https_proxy: "" }, "https://example.com/")).toBe("http://secure.test:1");
  });

  it("is never HTTP_PROXY's in a CGI program, where a client chooses its value", () => {
    const cgi = { ...env, REQUEST_METHOD: "GET" };
    expect(way(cgi, "http://example.com/")).toBe("direct");
    expect(way({ ...cgi, http_proxy: "http://lower.test:4" }, "http://example.com/")).toBe("http://lower.test:4");
  });

  it("may be written without a scheme", () => {
    expect(way({ HTTPS_PROXY: "proxy.test:3128" }, "https://example.com/")).toBe("http://proxy.test:3128");
  });
});

describe("NO_PROXY", () => {
  const direct = (noProxy: string, address: string) =>
    way({ ALL_PROXY: "http://proxy.test:1", NO_PROXY: noProxy }, address) === "direct";

  it.each([
    ["example.com", "https://example.com/", true],
    ["example.com", "https://git.example.com/", true],
    ["example.com", "https://notexample.com/", false],
    [".example.com", "https://git.example.com/", true],
    ["*.example.com", "https://git.example.com/", true],
    ["EXAMPLE.com", "https://Example.COM./", true],
    ["bücher.test", "https://xn--bcher-kva.test/", true],
    ["example.com:8443", "https://example.com:8443/", true],
    ["example.com:8443", "https://example.com/", false],
    ["example.com:443", "https://example.com/", true],
    ["example.com:80", "http://example.com/", true],
    ["10.1.2.3", "http://10.1.2.3:5000/", true],
    ["10.1.2.3:5000", "http://10.1.2.3:5000/", true],
    ["10.1.2.3:5000", "http://10.1.2.3:5001/", false],
    ["10.0.0.0/8", "http://10.1.2.3/", true],
    ["10.0.0.0/8", "http://11.1.2.3/", false],
    ["fd00::/8", "http://[fd12::1]/", true],
    ["[fd12::1]:443", "https://[fd12::1]/", true],
    ["fd12::1", "http://[fd12::1]/", true],
    ["other.test, example.com", "https://example.com/", true],
    ["other.test example.com", "https://example.com/", true],
    ["*", "https://example.com/", true],
    ["", "https://example.com/", false],
  ])("%s and %s: direct is %s", (noProxy, address, expected) => {
    expect(direct(noProxy, address)).toBe(expected);
  });

  it.each(["10.0.0.0/33", "fd00::/129", "http://example.com", "example.com:0", "example.com:70000", "a..b", "[x]"])(
    "does not accept %s, and reports that",
    (member) => {
      expect(problems({ NO_PROXY: member })).toContain(`NO_PROXY: "${member}" is not`);
      expect(problems({ no_proxy: member })).toContain(`no_proxy: "${member}" is not`);
    },
  );
});

it.each([
  "http://localhost/",
  "http://dev.localhost:7080/",
  "http://127.0.0.1:7080/",
  "https://127.8.9.1/",
  "http://[::1]:7080/",
  "http://[::ffff:127.0.0.1]/",
  "http://0.0.0.0/",
])("this machine itself is never proxied: %s", (address) => {
  expect(way({ ALL_PROXY: "http://proxy.test:1" }, address)).toBe("direct");
});

describe("a proxy that can't be used", () => {
  it.each([
    ["HTTPS_PROXY", "http://", "is not the address of a proxy"],
    ["https_proxy", "http://proxy.test:99999", "is not the address of a proxy"],
    ["HTTP_PROXY", "http://proxy.test/path", "has a path"],
    ["HTTP_PROXY", "http://u:p/w@proxy.test:1", "is not the address of a proxy"],
    [
      "ALL_PROXY",
      "socks5://proxy.test:1",
      'is not a proxy with http:// or https://: "socks5" proxies are not supported',
    ],
    ["HTTPS_PROXY", "http://u:%ff@proxy.test", "has a user name or a password with invalid percent-encoding"],
    ["HTTPS_PROXY", "http://u%3Av:secret@proxy.test", "has a user name with a colon"],
    ["HTTPS_PROXY", "http://u:p%0d%0aX@proxy.test", "has a user name or a password with control characters"],
  ])("%s=%s is reported with the variable's name", (name, value, problem) => {
    expect(problems({ [name]: value })).toContain(`${name} ${problem}`);
    expect(() => readProxies({ [name]: value })).toThrow(AirlockError);
  });

  it("is reported without its password", () => {
    for (const value of ["http://u:s3cret@", "socks5://u:s3cret@p", "http://u:s3cret@p/x", "http://u:s3/cret@p:x"])
      expect(problems({ HTTPS_PROXY: value })).not.toMatch(/s3|cret/);
  });

  it("is ignored if another variable takes precedence", () => {
    const env = { ALL_PROXY: "socks5://p:1", HTTPS_PROXY: "http://p:2", HTTP_PROXY: "http://p:2" };
    expect(problems(env)).toBe("");
  });
});

describe("git", () => {
  const settings = (value: string) =>
    gitProxySettings(readProxies({ HTTPS_PROXY: value }).forUrl(new URL("https://example.com/")), "/ca.pem");

  it("gets the proxy with an explicit port, since curl's default port is different", () => {
    expect(settings("http://proxy.test")).toMatchObject({ "http.proxy": "http://proxy.test:80" });
    expect(settings("http://u:p%40ss@proxy.test:3128")).toMatchObject({
      "http.proxy": "http://u:p%40ss@proxy.test:3128",
      "http.proxyAuthMethod": "basic",
    });
  });

  it("trusts the configured authorities for a proxy with https", () => {
    expect(settings("https://proxy.test")).toMatchObject({ "http.proxySSLCAInfo": "/ca.pem" });
    expect(gitProxySettings(null, "/ca.pem")).toEqual({});
  });
});
