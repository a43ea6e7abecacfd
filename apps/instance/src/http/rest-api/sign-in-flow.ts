import { createHmac } from "node:crypto";
import type { FastifyReply, FastifyRequest } from "fastify";
import { z } from "zod";
import type { InstanceContext } from "../shared/instance-context.ts";
import { secretEqual } from "../shared/secret-equal.ts";
import { cookieOptions } from "./session-cookie.ts";

const lifetimeMs = 10 * 60_000;
const prefix = "airlock_flow_";
const path = "/api/v1/sign-in/oidc";
/** Sign-ins that one browser may have begun, in several tabs. Further ones replace the oldest. */
const maxFlows = 5;

const Flow = z.strictObject({
  state: z.string(),
  nonce: z.string(),
  verifier: z.string(),
  /** Page to show afterwards. */
  next: z.string(),
  /** The user who links an account of the provider; `null`: somebody signs in. */
  linkTo: z.strictObject({ user: z.int(), session: z.int() }).nullable(),
  /** Unix time in ms. */
  expiresAt: z.number(),
});
export type SignInFlow = z.output<typeof Flow>;

/**
 * Remembers a sign-in in the browser that began it, so that only this browser can finish it. Each has a cookie of its own,
 * so that two tabs don't disturb each other.
 */
export function rememberFlow(
  request: FastifyRequest,
  reply: FastifyReply,
  context: InstanceContext,
  begun: Omit<SignInFlow, "expiresAt">,
): void {
  const flow: SignInFlow = { ...begun, expiresAt: Date.now() + lifetimeMs };
  const others = Object.keys(request.cookies).flatMap((name) => {
    const other = name.startsWith(prefix) ? readCookie(request.cookies[name], context) : null;
    return other ? [{ name, expiresAt: other.expiresAt }] : [];
  });
  others.sort((a, b) => b.expiresAt - a.expiresAt);
  for (const { name } of others.slice(maxFlows - 1)) reply.clearCookie(name, { ...cookieOptions(context), path });
  const text = Buffer.from(JSON.stringify(flow)).toString("base64url");
  reply.setCookie(nameOf(flow.state), `${text}.${sign(text, context)}`, {
    ...cookieOptions(context),
    path,
    // The browser comes back from another site.
    sameSite: "lax",
    maxAge: lifetimeMs / 1000,
  });
}

/** The sign-in that this browser began with this state. It can't be taken again. */
export function takeFlow(
  request: FastifyRequest,
  reply: FastifyReply,
  context: InstanceContext,
  state: string,
): SignInFlow | null {
  const name = nameOf(state);
  const flow = readCookie(request.cookies[name], context);
  if (flow) reply.clearCookie(name, { ...cookieOptions(context), path });
  return flow && secretEqual(flow.state, state) && flow.expiresAt > Date.now() ? flow : null;
}

/** States are base64url, whose characters a cookie's name may have. */
function nameOf(state: string): string {
  return prefix + state.replace(/[^\w-]/g, "").slice(0, 12);
}

function readCookie(cookie: string | undefined, context: InstanceContext): SignInFlow | null {
  const [text = "", signature = ""] = (cookie ?? "").split(".");
  if (text === "" || !secretEqual(signature, sign(text, context))) return null;
  return Flow.parse(JSON.parse(Buffer.from(text, "base64url").toString()));
}

function sign(text: string, { administratorToken }: InstanceContext): string {
  return createHmac("sha256", administratorToken).update(`airlock sign-in ${text}`).digest("base64url");
}

/** All flows' cookies together must fit into a request's headers. Otherwise other sites could keep people out. */
const maxNextLength = 1000;

/** A page of this instance, from an address that anybody may have made. Everything else becomes the first page. */
export function pageOf(next: string | undefined): string {
  if (!next?.startsWith("/")) return "/";
  const origin = "http://this-instance.invalid";
  if (!URL.canParse(next, origin)) return "/";
  const url = new URL(next, origin);
  const page = url.pathname + url.search + url.hash;
  // Browsers read `//host` and `/\host` as addresses of another site.
  if (page.length > maxNextLength) return "/";
  return url.origin === origin && !page.startsWith("//") && !page.startsWith("/api/") ? page : "/";
}
