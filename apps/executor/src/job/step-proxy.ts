import { BlockList, isIPv4 } from "node:net";
import type { AllowRule, EgressPolicy } from "@airlock/job";
import { uncoveredPrivateRules } from "@airlock/runtime";
import type { StepProxy } from "../config/options.ts";

/**
 * The proxy variables of a job's steps. A step gets them only if the job's egress policy lets it reach the proxy: no
 * policy is widened for the proxy. The proxy itself decides what steps reach through it.
 */
export function stepProxyEnvironment(proxy: StepProxy | null, policy: EgressPolicy): Readonly<Record<string, string>> {
  if (!proxy || !reaches(policy, proxy.destination)) return {};
  const { url, noProxy } = proxy;
  return {
    HTTP_PROXY: url,
    HTTPS_PROXY: url,
    NO_PROXY: noProxy,
    // curl takes HTTP_PROXY in lower case only, and some programs know only one of the two.
    http_proxy: url,
    https_proxy: url,
    no_proxy: noProxy,
  };
}

/** Whether a policy lets steps reach a destination. */
export function reaches(policy: EgressPolicy, destination: AllowRule): boolean {
  switch (policy.kind) {
    case "none":
      return false;
    case "public":
      return uncoveredPrivateRules([destination], []).length === 0;
    case "allow":
      return policy.rules.some((rule) => covers(rule, destination));
  }
}

function covers(rule: AllowRule, destination: AllowRule): boolean {
  if (rule.port !== null && rule.port !== destination.port) return false;
  if (rule.kind === "name") {
    if (destination.kind !== "name") return false;
    return rule.subdomains ? destination.name.endsWith(`.${rule.name}`) : destination.name === rule.name;
  }
  if (destination.kind !== "cidr") return false;
  const [net = "", bits] = rule.cidr.split("/");
  const [address = ""] = destination.cidr.split("/");
  const family = isIPv4(net) ? "ipv4" : "ipv6";
  if (isIPv4(address) !== (family === "ipv4")) return false;
  const list = new BlockList();
  list.addSubnet(net, Number(bits), family);
  return list.check(address, family);
}
