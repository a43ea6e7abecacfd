import { z } from "zod";
import { Namespace } from "../job/job-spec.ts";
import { StoredText } from "../primitives/stored-text.ts";

export const siteRoles = ["administrator", "member"] as const;
export type SiteRole = (typeof siteRoles)[number];

/** Each role may do what the later ones may. */
export const organizationRoles = ["owner", "member", "viewer"] as const;
export type OrganizationRole = (typeof organizationRoles)[number];

/**
 * Names that new users and organizations can't have. They are parts of addresses, or could be taken for somebody who
 * speaks for the instance.
 */
export const reservedNames: ReadonlySet<string> = new Set([
  ...["admin", "administrator", "airlock", "anonymous", "everyone", "global", "instance", "nobody", "null", "root"],
  ...["security", "support", "system", "undefined", "user", "users", "organization", "organizations", "me", "self"],
  ...["account", "api", "assets", "audit", "batch-changes", "executor", "executors", "health", "healthz", "help"],
  ...["jobs", "login", "logout", "metrics", "namespaces", "new", "queues", "repositories", "search", "secrets"],
  ...["session", "sessions", "settings", "setup", "sign-in", "sign-out", "site-admin", "submit", "tokens"],
]);

/** The name of a new user or organization. Both are namespaces, so they share one set of names. */
export const NewNamespace = Namespace.refine((name) => !reservedNames.has(name), "this name is reserved");

export const DisplayName = StoredText.trim().max(100);

export const OrganizationView = z.object({
  name: z.string(),
  displayName: z.string(),
  createdAt: z.iso.datetime(),
  /** The caller's role; `null`: not a member. */
  role: z.enum(organizationRoles).nullable(),
});
export type OrganizationView = z.output<typeof OrganizationView>;

const page = {
  /** Part of the name or of the display name. */
  text: StoredText.trim().max(100).optional(),
  /** Only names after this one; used for the next page. */
  after: Namespace.optional(),
  limit: z.coerce.number().int().min(1).max(200).default(50),
};
/** `after` of the next page. */
const next = z.string().nullable();

export const ListAccountsQuery = z.strictObject(page);
export type ListAccountsQuery = z.output<typeof ListAccountsQuery>;
export const OrganizationList = z.object({ organizations: z.array(OrganizationView), next });
export type OrganizationList = z.output<typeof OrganizationList>;

export const CreateOrganizationRequest = z.strictObject({ name: NewNamespace, displayName: DisplayName.default("") });
export const UpdateOrganizationRequest = z.strictObject({ displayName: DisplayName });

export const MemberView = z.object({ user: z.string(), displayName: z.string(), role: z.enum(organizationRoles) });
export type MemberView = z.output<typeof MemberView>;
export const MemberList = z.object({ members: z.array(MemberView), next });
export type MemberList = z.output<typeof MemberList>;
/** `PUT /api/v1/organizations/{name}/members/{user}`: adds the user, or changes the role. */
export const SetMemberRequest = z.strictObject({ role: z.enum(organizationRoles) });

export const UserView = z.object({
  name: z.string(),
  displayName: z.string(),
  role: z.enum(siteRoles),
  disabled: z.boolean(),
  createdAt: z.iso.datetime(),
});
export type UserView = z.output<typeof UserView>;
export const UserList = z.object({ users: z.array(UserView), next });
export type UserList = z.output<typeof UserList>;

export const CreateUserRequest = z.strictObject({
  name: NewNamespace,
  displayName: DisplayName.default(""),
  role: z.enum(siteRoles).default("member"),
});
/** `PATCH /api/v1/users/{name}`. Absent fields stay unchanged. */
export const UpdateUserRequest = z
  .strictObject({
    displayName: DisplayName,
    role: z.enum(siteRoles),
    /** A disabled user can't sign in, and all sessions of the user end. */
    disabled: z.boolean(),
  })
  .partial();
export type UpdateUserRequest = z.output<typeof UpdateUserRequest>;

/** `POST /api/v1/users/{name}/password-link` */
export const PasswordLink = z.object({ token: z.string(), expiresAt: z.iso.datetime() });
export type PasswordLink = z.output<typeof PasswordLink>;
/** Longer passwords would only cost time. */
const Password = z
  .string()
  .max(256)
  .refine((text) => text.isWellFormed(), "must be valid Unicode");
/** `POST /api/v1/password`: sets a password with the token of a one-time link, and begins a session. */
export const UsePasswordLinkRequest = z.strictObject({ token: z.string().min(1).max(100), password: Password });
/** `PUT /api/v1/account/password`: changes the caller's password, and ends all other sessions. */
export const ChangePasswordRequest = z.strictObject({ currentPassword: Password, password: Password });
/** `POST /api/v1/sign-in` */
export const SignInRequest = z.strictObject({
  // Names are lower case, but keyboards of phones begin with an upper-case letter.
  name: StoredText.trim().toLowerCase().max(200),
  password: Password,
});
/** `POST /api/v1/setup`: creates the first user, who is an administrator, and begins a session. */
export const SetUpRequest = z.strictObject({
  name: NewNamespace,
  displayName: DisplayName.default(""),
  password: Password,
});

/** A browser in which the caller is signed in. */
export const SessionEntry = z.object({
  id: z.int(),
  createdAt: z.iso.datetime(),
  /** To the minute. */
  lastUsedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  address: z.string(),
  userAgent: z.string(),
  /** The session of this request. */
  current: z.boolean(),
});
export type SessionEntry = z.output<typeof SessionEntry>;
export const SessionEntryList = z.object({ sessions: z.array(SessionEntry) });

/**
 * What an access token permits, at most what its owner may do.
 *
 * - `read`: reading everything
 * - `jobs`: submitting, canceling and retrying jobs
 * - `secrets`: setting and deleting secrets
 * - `repositories`: adding, changing and removing repositories
 * - `administration`: users, organizations, members, queues, executors, keys
 */
export const tokenScopes = ["read", "jobs", "secrets", "repositories", "administration"] as const;
export type TokenScope = (typeof tokenScopes)[number];

export const AccessTokenView = z.object({
  id: z.int(),
  name: z.string(),
  scopes: z.array(z.enum(tokenScopes)),
  createdAt: z.iso.datetime(),
  /** `null`: never. */
  expiresAt: z.iso.datetime().nullable(),
  /** To the minute; `null`: never used. */
  lastUsedAt: z.iso.datetime().nullable(),
  lastAddress: z.string().nullable(),
});
export type AccessTokenView = z.output<typeof AccessTokenView>;
export const AccessTokenList = z.object({ tokens: z.array(AccessTokenView) });
/** `POST /api/v1/account/tokens` */
export const CreateAccessTokenRequest = z.strictObject({
  name: DisplayName.min(1),
  scopes: z.array(z.enum(tokenScopes)).min(1).max(tokenScopes.length),
  /** `null`: never. */
  expiresAt: z.iso.datetime({ offset: true }).nullable(),
});
/** The answer to a creation, and the only one with the token. */
export const CreatedAccessToken = AccessTokenView.extend({ token: z.string() });
