import { type EgressPolicy, parseAllowRule } from "@airlock/job";
import { describe, expect, it } from "vitest";
import { parseConfig } from "../config/config.ts";
import { stepProxyEnvironment } from "./step-proxy.ts";

const configured = (more: Readonly<Record<string, string>>) =>
  parseConfig({
    EXECUTOR_FRONTEND_URL: "https://airlock.test",
    EXECUTOR_FRONTEND_PASSWORD: "x",
    EXECUTOR_QUEUE_NAME: "default",
    ...more,
  }).job.stepProxy;

function policy(...rules: readonly string[]): EgressPolicy {
  return {
    kind: "allow",
    rules: rules.map((text) => {
      const rule = parseAllowRule(text);
      if (rule.kind === "invalid") throw new Error(rule.problem);
      return rule;
    }),
  };
}

const given = (proxy: string, egress: EgressPolicy) =>
  stepProxyEnvironment(configured({ EXECUTOR_STEP_PROXY: proxy }), egress).https_proxy;

describe("the proxy of steps", () => {
  it("is unset unless the administrator configures one, whatever proxies the executor itself uses", () => {
    const own = configured({ HTTPS_PROXY: "http://ci:s3cret@10.1.2.3:3128" });
    expect(stepProxyEnvironment(own, { kind: "public" })).toEqual({});
  });

  it("is set in all variables that programs read", () => {
    const proxy = configured({ EXECUTOR_STEP_PROXY: "proxy.example.com:3128", EXECUTOR_STEP_NO_PROXY: ".corp" });
    expect(stepProxyEnvironment(proxy, { kind: "public" })).toEqual({
      HTTP_PROXY: "http://proxy.example.com:3128",
      HTTPS_PROXY: "http://proxy.example.com:3128",
      NO_PROXY: ".corp",
      http_proxy: "http://proxy.example.com:3128",
      https_proxy: "http://proxy.example.com:3128",
      no_proxy: ".corp",
    });
  });

  it.each<[string, EgressPolicy, boolean]>([
    ["http://10.1.2.3:3128", { kind: "none" }, false],
    ["http://10.1.2.3:3128", { kind: "public" }, false],
    ["http://[fd00::1]:3128", { kind: "public" }, false],
    ["http://8.8.8.8:3128", { kind: "public" }, true],
    ["http://8.8.8.8:3128", { kind: "none" }, false],
    ["http://10.1.2.3:3128", policy("10.1.2.3:3128"), true],
    ["http://10.1.2.3:3128", policy("10.1.0.0/16"), true],
    ["http://10.1.2.3:3128", policy("10.1.2.3:443"), false],
    ["http://10.1.2.3:3128", policy("10.1.2.4:3128", "example.com"), false],
    ["http://[fd00::1]:3128", policy("[fd00::/64]:3128"), true],
    ["http://[fd00::1]:3128", policy("10.0.0.0/8"), false],
    ["http://proxy.example.com:3128", policy("proxy.example.com:3128"), true],
    ["http://proxy.example.com:3128", policy("*.example.com"), true],
    ["http://proxy.example.com:3128", policy("example.com"), false],
    ["http://proxy.example.com:3128", policy("10.0.0.0/8"), false],
    ["http://proxy.example.com", policy("proxy.example.com:80"), true],
  ])("%s under %j: %s", (proxy, egress, expected) => {
    expect(given(proxy, egress) !== undefined).toBe(expected);
  });

  it.each([
    ["http://u:s3cret@proxy.example.com:1", /EXECUTOR_STEP_PROXY must not hold credentials/],
    ["socks5://u:s3cret@proxy.example.com:1", /EXECUTOR_STEP_PROXY is not a proxy with http/],
    ["http://proxy/x", /EXECUTOR_STEP_PROXY has a path/],
    ["http://proxy:1", /EXECUTOR_STEP_PROXY does not name its host/],
  ])("%s is refused with the variable's name, without its password", (value, message) => {
    const attempt = () => configured({ EXECUTOR_STEP_PROXY: value });
    expect(attempt).toThrow(message);
    expect(attempt).not.toThrow(/s3cret/);
  });

  it("is required if NO_PROXY exceptions are set", () => {
    expect(() => configured({ EXECUTOR_STEP_NO_PROXY: "x" })).toThrow(/EXECUTOR_STEP_PROXY names no proxy/);
  });
});
