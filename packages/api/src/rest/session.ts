import { z } from "zod";
import { StoredText } from "../primitives/stored-text.ts";
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

/** `POST /api/v1/account/identities`. */
export const LinkIdentityRequest = z.strictObject({ currentPassword: z.string().max(1000) });

/** The answer to {@link LinkIdentityRequest}: where to go in the same browser. */
export const SignInLocation = z.object({ location: z.url() });

/** An account of an OpenID Connect provider that a user signs in with. */
export const IdentityView = z.object({
  issuer: z.string(),
  /** The provider's id of the account. */
  subject: z.string(),
  createdAt: z.iso.datetime(),
  lastUsedAt: z.iso.datetime().nullable(),
});
export type IdentityView = z.output<typeof IdentityView>;
export const IdentityList = z.object({ identities: z.array(IdentityView) });

/** `PUT /api/v1/users/{name}/identity`. */
export const SetIdentityRequest = z.strictObject({
  /** The provider's id of the account; `null`: the user can't sign in with the provider. */
  subject: StoredText.min(1).max(255).nullable(),
});

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
