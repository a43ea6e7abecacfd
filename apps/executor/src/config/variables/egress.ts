import { isIP } from "node:net";
import { parseAllowRule } from "@airlock/job";
import { parseProxyServer } from "@airlock/proxy";
import { problemOfAddressPool, problemOfAddressRange, type RangeAllowRule } from "@airlock/runtime";
import { z } from "zod";
import { flag } from "../values/environment-values.ts";

/** Networks of jobs. */
export const egressVariables = {
  EXECUTOR_DEFAULT_EGRESS: z.enum(["none", "public"], { error: "must be none or public" }).optional().meta({
    description:
      "Network policy of jobs that name none, and of all jobs from an instance that does not support egress policies.",
    default: "public if this machine can enforce it, else none",
  }),
  EXECUTOR_UNENFORCED_EGRESS: z.enum(["refuse", "none"], { error: "must be refuse or none" }).default("refuse").meta({
    description:
      "What happens to a job whose egress policy this machine can't enforce: `refuse` it, or run it without a network (`none`).",
  }),
  EXECUTOR_EGRESS_OPENABLE: list((text, problem): RangeAllowRule[] => {
    const rule = parseAllowRule(text);
    if (rule.kind === "cidr") return [rule];
    problem(`"${text}" is not IPV4[/BITS][:PORT] or [IPV6[/BITS]][:PORT]`);
    return [];
  }).meta({
    description:
      "Private addresses that a job's allow-list may open. All other private addresses stay closed. Rules by name never open private addresses.",
    default: "none",
    values: "ranges with or without a port, separated by commas: `10.1.2.0/24:5432`, `[fd12::/64]:443`",
  }),
  EXECUTOR_EGRESS_CLOSED: list((text, problem) => {
    const found = problemOfAddressRange(text);
    if (found === undefined) return [text];
    problem(found);
    return [];
  }).meta({
    description:
      "Addresses that no job can reach, whatever its policy. Metadata services, this machine, other jobs and the instance are always closed.",
    default: "none",
    values: "ranges, separated by commas: `10.0.0.0/8`, `2001:db8::/32`",
  }),
  EXECUTOR_EGRESS_POOL: z
    .string()
    .optional()
    .transform((text, context) => {
      const problem = text === undefined ? undefined : problemOfAddressPool(text);
      if (problem !== undefined) context.addIssue({ code: "custom", message: `cannot be used: ${problem}` });
      return text;
    })
    .meta({
      description:
        "Range for the addresses of sandboxes on this machine, 8 for each sandbox. Addresses for which the machine has a route are skipped.",
      default: "198.18.0.0/15",
      values: "an IPv4 range from `/13` to `/29`",
    }),
  EXECUTOR_EGRESS_NAME_SERVERS: list((text, problem) => {
    const match = /^(?:\[([^\]]+)\]|([^:]+)|(.*:.*:.*))(?::(\d{1,5}))?$/.exec(text);
    const address = match?.[1] ?? match?.[2] ?? match?.[3] ?? "";
    const port = Number(match?.[4] ?? 53);
    if (isIP(address) !== 0 && port >= 1 && port <= 65_535) return [{ address, port }];
    problem(`"${text}" is not ADDRESS[:PORT] or [IPV6-ADDRESS]:PORT`);
    return [];
  }).meta({
    description: "Name servers that answer the DNS queries of jobs.",
    default: "the name servers in /etc/resolv.conf",
    values: "addresses with or without a port, separated by commas: `9.9.9.9`, `[2620:fe::fe]:53`",
  }),
  EXECUTOR_STEP_PROXY: z
    .string()
    .optional()
    .transform((text, context) => {
      if (text === undefined) return null;
      const problem = (message: string) => {
        context.addIssue({ code: "custom", message });
        return null;
      };
      const parsed = parseProxyServer("EXECUTOR_STEP_PROXY", text);
      if (typeof parsed === "string") return problem(parsed);
      if (parsed.authorization !== null) return problem("must not hold credentials: every step could read them");
      const { protocol, hostname } = parsed.url;
      const port = parsed.url.port || (protocol === "https:" ? "443" : "80");
      const destination = parseAllowRule(`${hostname}:${port}`);
      if (destination.kind === "invalid") return problem("does not name its host by an address or a domain name");
      return { url: `${protocol}//${hostname}:${port}`, destination };
    })
    .meta({
      description:
        "A proxy that steps find in HTTP_PROXY and HTTPS_PROXY (and in lower case), unless they set these. Only steps of jobs whose egress policy reaches the proxy get them: give a private proxy by its address, list it in EXECUTOR_EGRESS_OPENABLE, and let jobs allow it. What steps reach through the proxy, the proxy alone decides.",
      default: "none",
      values: "`http://HOST:PORT` or `https://HOST:PORT`, without credentials",
    }),
  EXECUTOR_STEP_NO_PROXY: z
    .string()
    .regex(/^[\x20-\x7e]*$/, "has characters that no host has")
    .default("localhost,127.0.0.1,::1")
    .meta({ description: "NO_PROXY of steps that get EXECUTOR_STEP_PROXY." }),
  EXECUTOR_DOCKER_ADD_HOST_GATEWAY: flag(false).meta({
    description:
      "Whether steps of the docker runtime can resolve host.docker.internal to this machine. Every egress policy blocks connections to this machine.",
  }),
};

/** A list separated by commas or white space. `read` parses each member. */
function list<T>(read: (text: string, problem: (message: string) => void) => readonly T[]) {
  return z
    .string()
    .default("")
    .transform((text, context) =>
      text
        .split(/[\s,]+/)
        .filter((member) => member !== "")
        .flatMap((member) => read(member, (message) => context.addIssue({ code: "custom", message }))),
    );
}
