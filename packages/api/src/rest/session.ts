import { z } from "zod";
import { organizationRoles, siteRoles } from "./accounts.ts";

/** `POST /api/v1/session`: exchanges the administrator's token for a session cookie of the web UI. */
export const CreateSessionRequest = z.strictObject({ token: z.string().min(1).max(1000) });
/** `GET /api/v1/sign-in`: how people can sign in here. */
export const SignInMethods = z.object({
  /** Names and passwords of the instance's own accounts (`POST /api/v1/sign-in`). */
  password: z.boolean(),
  /** Single sign-on. Show a link to `path`; `?next=/a/path` names the page to show afterwards. `null`: not set up. */
  openIdConnect: z.object({ label: z.string(), path: z.string() }).nullable(),
  /** The instance has no users yet: ask for the administrator's token first. */
  needsSetUp: z.boolean(),
});
export type SignInMethods = z.output<typeof SignInMethods>;

/** `GET /api/v1/session`: the identity of the caller. */
export const SessionView = z.object({
  role: z.enum(siteRoles),
  version: z.string(),
  /** `null`: the administrator's token, or a session that was begun with it. */
  user: z.object({ name: z.string(), displayName: z.string() }).nullable(),
  /** The namespaces in which a user has a role. Empty for the administrator's token, which opens all. */
  namespaces: z.array(z.object({ name: z.string(), role: z.enum(organizationRoles) })),
  /** The instance has no users yet: create the first administrator with `POST /api/v1/setup`. */
  needsSetUp: z.boolean(),
});
export type SessionView = z.output<typeof SessionView>;
