import {
  type CreateOrganizationRequest,
  MemberList,
  OrganizationList,
  type OrganizationRole,
  OrganizationView,
  type UpdateOrganizationRequest,
} from "@airlock/api";
import type { z } from "zod";
import { type Abortable, requestJson, requestNothing } from "./http.ts";
import { type AccountPage, accountPageSearch, restPath } from "./rest-path.ts";

export const listOrganizations = (page: AccountPage, options?: Abortable) =>
  requestJson(OrganizationList, `${restPath`/organizations`}?${accountPageSearch(page)}`, options);

export const getOrganization = (name: string, options?: Abortable) =>
  requestJson(OrganizationView, restPath`/organizations/${name}`, options);

export const createOrganization = (body: z.input<typeof CreateOrganizationRequest>) =>
  requestJson(OrganizationView, restPath`/organizations`, { method: "POST", body });

export const updateOrganization = (name: string, body: z.input<typeof UpdateOrganizationRequest>) =>
  requestJson(OrganizationView, restPath`/organizations/${name}`, { method: "PATCH", body });

export const deleteOrganization = (name: string) =>
  requestNothing(restPath`/organizations/${name}`, { method: "DELETE" });

export const listMembers = (organization: string, page: AccountPage, options?: Abortable) =>
  requestJson(MemberList, `${restPath`/organizations/${organization}/members`}?${accountPageSearch(page)}`, options);

export const setMember = (organization: string, user: string, role: OrganizationRole) =>
  requestNothing(restPath`/organizations/${organization}/members/${user}`, { method: "PUT", body: { role } });

export const removeMember = (organization: string, user: string) =>
  requestNothing(restPath`/organizations/${organization}/members/${user}`, { method: "DELETE" });

export const leaveOrganization = (organization: string) =>
  requestNothing(restPath`/account/organizations/${organization}`, { method: "DELETE" });
