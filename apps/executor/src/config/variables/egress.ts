import { isIP } from "node:net";
import { parseAllowRule } from "@airlock/job";
import { problemOfAddressPool, problemOfAddressRange, type RangeAllowRule } from "@airlock/runtime";
import { z } from "zod";
import { flag } from "../values/environment-values.ts";

/** Networks of jobs. */
export const egressVariables = {
  EXECUTOR_DEFAULT_EGRESS: z.enum(["none", "public"], { error: "must be none or public" }).optional().meta({
    description: "Network of jobs that name no egress policy, and of all jobs of an instance that has no words for it.",
    default: "public where this machine can enforce it, else none",
  }),
  EXECUTOR_UNENFORCED_EGRESS: z.enum(["refuse", "none"], { error: "must be refuse or none" }).default("refuse").meta({
    description:
      "What becomes of a job whose egress policy this machine can't enforce: refused, or run without any network.",
  }),
  EXECUTOR_EGRESS_OPENABLE: list((text, problem): RangeAllowRule[] => {
    const rule = parseAllowRule(text);
    if (rule.kind === "cidr") return [rule];
    problem(`"${text}" is not IPV4[/BITS][:PORT] or [IPV6[/BITS]][:PORT]`);
    return [];
  }).meta({
    description:
      "Private addresses that the allow-list of a job may open; all others stay closed, whatever a job says. Rules by name never open private addresses.",
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
      "Addresses that no job reaches, whatever its policy says, besides those of metadata services, of this machine, of other jobs and of the instance.",
    default: "none",
    values: "ranges, separated by commas: `10.0.0.0/8`, `2001:db8::/32`",
  }),
  EXECUTOR_EGRESS_POOL: z
    .string()
    .optional()
    .transform((text, context) => {
      const problem = text === undefined ? undefined : problemOfAddressPool(text);
      if (problem !== undefined) context.addIssue({ code: "custom", message: `does not do: ${problem}` });
      return text;
    })
    .meta({
      description:
        "Addresses that sandboxes get on this machine, 8 for each; what the machine has routes for is passed over.",
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
    description: "Name servers that look-ups of jobs are passed on to.",
    default: "those of /etc/resolv.conf",
    values: "addresses with or without a port, separated by commas: `9.9.9.9`, `[2620:fe::fe]:53`",
  }),
  EXECUTOR_DOCKER_ADD_HOST_GATEWAY: flag(false).meta({
    description:
      "Whether steps of the docker runtime that have a network know this machine as host.docker.internal; it stays closed to them, whatever their egress policy.",
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
