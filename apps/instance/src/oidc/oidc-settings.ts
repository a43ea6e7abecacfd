import type { OrganizationRole } from "@airlock/api";
import { Namespace, organizationRoles } from "@airlock/api";
import { z } from "zod";

/** What a group of the provider gives its members: the site role `administrator`, or a role in an organization. */
export type GroupGrant = "administrator" | { readonly organization: string; readonly role: OrganizationRole };

export interface OidcSettings {
  readonly issuer: string;
  readonly clientId: string;
  readonly clientSecret: string;
  /** Address of the instance to which the provider sends people back. */
  readonly redirectUri: string;
  /** Name of the provider, for the sign-in page. */
  readonly label: string;
  readonly scopes: string;
  /** Claim from which new users get their name. */
  readonly nameClaim: string;
  readonly groupsClaim: string;
  /** By group. Empty: groups have no meaning here. */
  readonly groups: ReadonlyMap<string, readonly GroupGrant[]>;
  /** Whether people without an account here get one when they sign in. */
  readonly createUsers: boolean;
  readonly sessionMs: number;
}

const form = "must be administrator or ORGANIZATION:ROLE, with a role of owner, member or viewer";

const Grant = z.string().transform((text, context): GroupGrant => {
  if (text === "administrator") return text;
  const [organization, role, ...rest] = text.split(":");
  const name = Namespace.safeParse(organization);
  const known = organizationRoles.find((one) => one === role);
  if (name.success && known !== undefined && rest.length === 0) return { organization: name.data, role: known };
  context.addIssue({ code: "custom", message: form });
  return z.NEVER;
});

const Groups = z.record(z.string().min(1), z.union([Grant.transform((one) => [one]), z.array(Grant)], { error: form }));

/** Reads `{"group": "organization:role", "another group": ["administrator", "organization:role"]}`. */
export const GroupMapping = z.string().transform((text, context): ReadonlyMap<string, readonly GroupGrant[]> => {
  if (text === "") return new Map();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    context.addIssue({ code: "custom", message: 'must be JSON, such as {"engineers": "acme:member"}' });
    return z.NEVER;
  }
  const parsed = Groups.safeParse(json);
  if (parsed.success) return new Map(Object.entries(parsed.data));
  const group = parsed.error.issues[0]?.path[0];
  context.addIssue({
    code: "custom",
    message: group === undefined ? "must be a JSON object" : `"${String(group)}" ${form}`,
  });
  return z.NEVER;
});

/** Only a provider on this machine can be used without encryption. */
export function isSafeIssuer(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname, username, search, hash } = new URL(url);
  if (username !== "" || search !== "" || hash !== "") return false;
  return protocol === "https:" || (protocol === "http:" && /^(?:localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname));
}
