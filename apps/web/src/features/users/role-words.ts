import type { OrganizationRole, SiteRole } from "@airlock/api";

export const siteRoleWords: Readonly<Record<SiteRole, string>> = { administrator: "Administrator", member: "Member" };

export const organizationRoleWords: Readonly<
  Record<OrganizationRole, { readonly name: string; readonly may: string }>
> = {
  owner: { name: "Owner", may: "sets secrets and chooses members, and does what members do" },
  member: { name: "Member", may: "submits, cancels and retries jobs, and sees what viewers see" },
  viewer: { name: "Viewer", may: "sees jobs, logs and artifacts" },
};
