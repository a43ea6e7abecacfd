import type { ListAccountsQuery, MemberList, OrganizationList, OrganizationRole, OrganizationView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { sql } from "kysely";
import type { Database } from "../store/database.ts";
import { inTransaction } from "../store/in-transaction.ts";
import { takeName } from "./namespaces.ts";
import { containsText } from "./search-text.ts";

/** @throws {AirlockError} `name-taken`. */
export async function createOrganization(
  db: Database,
  { name, displayName }: { readonly name: string; readonly displayName: string },
): Promise<OrganizationView> {
  await inTransaction(db, (transaction) => takeName(transaction, { name, displayName, kind: "organization" }));
  return getOrganization(db, name, null);
}

interface Row {
  name: string;
  display_name: string;
  created_at: Date;
  role: OrganizationRole | null;
}

function select(db: Database, userId: number | null) {
  return db
    .selectFrom("namespaces")
    .leftJoin("memberships", (join) =>
      join.onRef("memberships.organization", "=", "namespaces.name").on("memberships.user_id", "=", userId),
    )
    .select(["namespaces.name", "namespaces.display_name", "namespaces.created_at", "memberships.role"])
    .where("namespaces.kind", "=", "organization")
    .where("namespaces.deleted_at", "is", null);
}

function toView(row: Row): OrganizationView {
  return {
    name: row.name,
    displayName: row.display_name,
    createdAt: row.created_at.toISOString(),
    role: row.role,
  };
}

/** @param userId The caller, whose role is shown; `null`: not a user. */
export async function getOrganization(db: Database, name: string, userId: number | null): Promise<OrganizationView> {
  const row = await select(db, userId).where("namespaces.name", "=", name).executeTakeFirst();
  if (!row) throw noOrganization(name);
  return toView(row);
}

/** @param visible The organizations that the caller sees; `null`: all. */
export async function listOrganizations(
  db: Database,
  { text, after, limit }: ListAccountsQuery,
  { userId, visible }: { readonly userId: number | null; readonly visible: readonly string[] | null },
): Promise<OrganizationList> {
  let query = select(db, userId);
  if (visible !== null) query = query.where("namespaces.name", "=", sql<string>`any(${visible}::text[])`);
  if (text) query = query.where(containsText(text));
  if (after !== undefined) query = query.where("namespaces.name", ">", after);
  const rows = await query
    .orderBy("namespaces.name")
    .limit(limit + 1)
    .execute();
  const organizations = rows.slice(0, limit).map(toView);
  return { organizations, next: rows.length > limit ? (organizations.at(-1)?.name ?? null) : null };
}

/** @throws {AirlockError} `not-found`. */
export async function updateOrganization(db: Database, name: string, displayName: string): Promise<void> {
  const row = await db
    .updateTable("namespaces")
    .set({ display_name: displayName })
    .where("name", "=", name)
    .where("kind", "=", "organization")
    .where("deleted_at", "is", null)
    .returning("name")
    .executeTakeFirst();
  if (!row) throw noOrganization(name);
}

export async function listMembers(
  db: Database,
  organization: string,
  { text, after, limit }: ListAccountsQuery,
): Promise<MemberList> {
  let query = db
    .selectFrom("memberships")
    .innerJoin("users", "users.id", "memberships.user_id")
    .innerJoin("namespaces", "namespaces.name", "users.name")
    .select(["namespaces.name", "namespaces.display_name", "memberships.role"])
    .where("memberships.organization", "=", organization);
  if (text) query = query.where(containsText(text));
  if (after !== undefined) query = query.where("namespaces.name", ">", after);
  const rows = await query
    .orderBy("namespaces.name")
    .limit(limit + 1)
    .execute();
  const members = rows
    .slice(0, limit)
    .map((row) => ({ user: row.name, displayName: row.display_name, role: row.role }));
  return { members, next: rows.length > limit ? (members.at(-1)?.user ?? null) : null };
}

interface MemberKey {
  readonly organization: string;
  readonly user: string;
}

/**
 * Adds a member or changes the role.
 * @param mayLeaveOwnerless Administrators may take the last owner's role. Owners may not, because then no member could
 * change the organization.
 * @throws {AirlockError} `not-found`, `last-owner`.
 */
export async function setMember(
  db: Database,
  { organization, user }: MemberKey,
  role: OrganizationRole,
  { mayLeaveOwnerless }: { readonly mayLeaveOwnerless: boolean },
): Promise<void> {
  await inTransaction(db, async (transaction) => {
    await lockOrganization(transaction, organization);
    const id = await idOf(transaction, user);
    if (role !== "owner" && !mayLeaveOwnerless) await requireOtherOwner(transaction, organization, id);
    await transaction
      .insertInto("memberships")
      .values({ organization, user_id: id, role })
      .onConflict((conflict) => conflict.columns(["user_id", "organization"]).doUpdateSet({ role }))
      .execute();
  });
}

/** @throws {AirlockError} `not-found`, `last-owner`. */
export async function removeMember(
  db: Database,
  { organization, user }: MemberKey,
  { mayLeaveOwnerless }: { readonly mayLeaveOwnerless: boolean },
): Promise<void> {
  await inTransaction(db, async (transaction) => {
    await lockOrganization(transaction, organization);
    const id = await idOf(transaction, user);
    if (!mayLeaveOwnerless) await requireOtherOwner(transaction, organization, id);
    const row = await transaction
      .deleteFrom("memberships")
      .where("organization", "=", organization)
      .where("user_id", "=", id)
      .returning("role")
      .executeTakeFirst();
    if (!row) {
      throw new AirlockError(`"${user}" is not a member of "${organization}"`, {
        code: "not-found",
        hint: `List the members with GET /api/v1/organizations/${organization}/members.`,
      });
    }
  });
}

/** Lets only one change of an organization's members run at a time. */
async function lockOrganization(transaction: Database, organization: string): Promise<void> {
  const row = await transaction
    .selectFrom("namespaces")
    .select("name")
    .where("name", "=", organization)
    .where("kind", "=", "organization")
    .where("deleted_at", "is", null)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (!row) throw noOrganization(organization);
}

async function idOf(transaction: Database, user: string): Promise<number> {
  const row = await transaction.selectFrom("users").select("id").where("name", "=", user).executeTakeFirst();
  if (row) return row.id;
  throw new AirlockError(`no user named "${user}"`, {
    code: "not-found",
    hint: "An administrator creates users with POST /api/v1/users.",
  });
}

async function requireOtherOwner(transaction: Database, organization: string, userId: number): Promise<void> {
  const owners = await transaction
    .selectFrom("memberships")
    .select("user_id")
    .where("organization", "=", organization)
    .where("role", "=", "owner")
    .execute();
  if (owners.some((owner) => owner.user_id !== userId) || !owners.some((owner) => owner.user_id === userId)) return;
  throw new AirlockError(`"${organization}" would have no owner`, {
    code: "last-owner",
    hint: "Make another member an owner first.",
  });
}

export function noOrganization(name: string): AirlockError {
  return new AirlockError(`no organization named "${name}"`, {
    code: "not-found",
    hint: "List the organizations with GET /api/v1/organizations.",
  });
}
