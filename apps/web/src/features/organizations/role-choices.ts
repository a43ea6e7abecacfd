import { type OrganizationRole, organizationRoles } from "@airlock/api";
import { organizationRoleWords } from "../users/role-words.ts";

/** Options of a select element. */
export const roleChoices: readonly { readonly value: string; readonly label: string }[] = organizationRoles.map(
  (role) => ({ value: role, label: organizationRoleWords[role].name }),
);

export function asRole(value: string): OrganizationRole {
  const role = organizationRoles.find((each) => each === value);
  if (role === undefined) throw new Error(`${value} is not a role of an organization`);
  return role;
}
