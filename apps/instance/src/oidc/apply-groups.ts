import type { OrganizationRole } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { removeMember, setMember } from "../accounts/organizations.ts";
import type { Account } from "../accounts/passwords.ts";
import { getUser, updateUser } from "../accounts/users.ts";
import { type AuditEvent, type AuditSource, recordAudit } from "../audit/audit-log.ts";
import type { Database } from "../store/database.ts";
import type { GroupGrant } from "./oidc-settings.ts";

/** From the least to the most. */
const ranks: readonly OrganizationRole[] = ["viewer", "member", "owner"];

/**
 * Gives a user the roles of the provider's groups, and takes those away whose groups the user left. Organizations that no
 * group names are left alone, and so is the site role if no group gives it.
 * @returns Whether the user stays an administrator although no group says so, because there is no other.
 */
export async function applyGroups(
  transaction: Database,
  user: Account,
  groups: readonly string[],
  { mapping, by }: { readonly mapping: ReadonlyMap<string, readonly GroupGrant[]>; readonly by: AuditSource },
): Promise<{ readonly keptLastAdministrator: boolean }> {
  const wanted = new Map<string, OrganizationRole | null>();
  let givesAdministrator = false;
  let isAdministrator = false;
  for (const [group, grants] of mapping) {
    const isIn = groups.includes(group);
    for (const grant of grants) {
      if (grant === "administrator") {
        givesAdministrator = true;
        isAdministrator ||= isIn;
        continue;
      }
      const before = wanted.get(grant.organization) ?? null;
      const role = isIn && (before === null || ranks.indexOf(grant.role) > ranks.indexOf(before)) ? grant.role : before;
      wanted.set(grant.organization, role);
    }
  }
  const events: AuditEvent[] = [];
  for (const [organization, role] of [...wanted].sort(([a], [b]) => a.localeCompare(b))) {
    events.push(...(await setRole(transaction, user, organization, role)));
  }
  let keptLastAdministrator = false;
  if (givesAdministrator) {
    const role = isAdministrator ? "administrator" : "member";
    try {
      if ((await getUser(transaction, user.name)).role !== role) {
        await updateUser(transaction, user.name, { role });
        const target = { kind: "user", name: user.name };
        events.push({ action: "user.changed", namespace: user.name, target, details: { role } });
      }
    } catch (error) {
      if (!(error instanceof AirlockError) || error.code !== "last-administrator") throw error;
      keptLastAdministrator = true;
    }
  }
  await recordAudit(
    transaction,
    by,
    events.map((event) => ({ ...event, details: { ...event.details, by: "groups" } })),
  );
  return { keptLastAdministrator };
}

async function setRole(
  transaction: Database,
  user: Account,
  organization: string,
  role: OrganizationRole | null,
): Promise<AuditEvent[]> {
  const current = await transaction
    .selectFrom("memberships")
    .select("role")
    .where("organization", "=", organization)
    .where("user_id", "=", user.id)
    .executeTakeFirst();
  if ((current?.role ?? null) === role) return [];
  const target = { kind: "user", name: user.name };
  const key = { organization, user: user.name };
  if (role === null) {
    await removeMember(transaction, key, { mayLeaveOwnerless: true });
    return [{ action: "member.removed", namespace: organization, target }];
  }
  const created = await transaction
    .insertInto("namespaces")
    .values({ name: organization, kind: "organization" })
    .onConflict((conflict) => conflict.doNothing())
    .returning("name")
    .executeTakeFirst();
  const { kind, deleted_at } = await transaction
    .selectFrom("namespaces")
    .select(["kind", "deleted_at"])
    .where("name", "=", organization)
    .executeTakeFirstOrThrow();
  // A setting that names a user or a deleted organization must not keep everyone out.
  if (kind === "user" || deleted_at !== null) return [];
  await setMember(transaction, key, role, { mayLeaveOwnerless: true });
  return [
    ...(created
      ? [
          {
            action: "organization.created" as const,
            namespace: organization,
            target: { kind: "organization", name: organization },
          },
        ]
      : []),
    { action: "member.set", namespace: organization, target, details: { role } },
  ];
}

/** The groups in a claim: a list of names, or one name. */
export function groupsIn(claim: unknown): readonly string[] {
  return [claim].flat().filter((group): group is string => typeof group === "string");
}
