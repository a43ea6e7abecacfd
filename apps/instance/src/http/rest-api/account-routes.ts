import {
  CreateOrganizationRequest,
  CreateUserRequest,
  ListAccountsQuery,
  MemberList,
  Namespace,
  OrganizationList,
  OrganizationView,
  PasswordLink,
  SetMemberRequest,
  UpdateOrganizationRequest,
  UpdateUserRequest,
  UserList,
  UserView,
} from "@airlock/api";
import { z } from "zod";
import { deleteOrganization } from "../../accounts/delete-organization.ts";
import {
  createOrganization,
  getOrganization,
  listMembers,
  listOrganizations,
  noOrganization,
  removeMember,
  setMember,
  updateOrganization,
} from "../../accounts/organizations.ts";
import { createPasswordLink } from "../../accounts/passwords.ts";
import { createUser, getUser, listUsers, noUser, updateUser } from "../../accounts/users.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf, type RequestAccess } from "../shared/route-access.ts";
import { requireLocalAccounts } from "./require-local-accounts.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const params = z.strictObject({ name: Namespace });
const memberParams = z.strictObject({ name: Namespace, user: Namespace });
const bodyLimit = 16 * 1024;

export function accountRoutes(app: ZodScope, context: InstanceContext): void {
  userRoutes(app, context);
  organizationRoutes(app, context);
  organizationDeletionRoute(app, context);
  memberRoutes(app, context);
}

/** The caller's id, if the caller is a user. */
function userIdOf({ actor }: RequestAccess): number | null {
  return actor.kind === "user" || actor.kind === "administrator" ? (actor.user?.id ?? null) : null;
}

function userRoutes(app: ZodScope, context: InstanceContext): void {
  const { db } = context;
  const tags = ["users"];

  app.get(
    "/users",
    {
      schema: {
        tags,
        summary: "List users by name",
        querystring: ListAccountsQuery,
        response: { 200: UserList, ...errorAnswers },
      },
    },
    async (request) => listUsers(db, request.query),
  );

  app.post(
    "/users",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Create a user",
        description: "The name becomes the user's own namespace. It can't be changed, and is never given up.",
        body: CreateUserRequest,
        response: { 201: UserView, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const user = await audited(
        db,
        request,
        (transaction) => createUser(transaction, { ...request.body, password: null }),
        ({ name, role }) => ({
          action: "user.created",
          namespace: name,
          target: { kind: "user", name },
          details: { role },
        }),
      );
      request.log.info({ user: user.name, role: user.role }, "user created");
      return reply.status(201).send(user);
    },
  );

  app.get(
    "/users/:name",
    { schema: { tags, summary: "Show a user", params, response: { 200: UserView, ...errorAnswers } } },
    async (request) => {
      const { name } = request.params;
      accessOf(request).require({ user: name }, noUser(name));
      return getUser(db, name);
    },
  );

  app.post(
    "/users/:name/password-link",
    {
      schema: {
        tags,
        summary: "Create a one-time link with which a user sets a password",
        description:
          "The token is valid for a day and once, and an earlier one becomes invalid. Give it to the user, who sends it " +
          "to POST /api/v1/password. Setting the password ends the user's sessions.",
        params,
        response: { 201: PasswordLink, ...errorAnswers },
      },
    },
    async (request, reply) => {
      requireLocalAccounts(context);
      const { name } = request.params;
      const link = await audited(
        db,
        request,
        (transaction) => createPasswordLink(transaction, name),
        () => ({ action: "password.link-created", namespace: name, target: { kind: "user", name } }),
      );
      request.log.info({ user: name }, "password link created");
      return reply.status(201).send(link);
    },
  );

  app.patch(
    "/users/:name",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Change a user: display name, role, disabled",
        description: "The last administrator can't be disabled or lose the role.",
        params,
        body: UpdateUserRequest,
        response: { 200: UserView, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const user = await audited(
        db,
        request,
        (transaction) => updateUser(transaction, name, request.body),
        () => ({ action: "user.changed", namespace: name, target: { kind: "user", name }, details: request.body }),
      );
      request.log.info({ user: user.name, changes: request.body }, "user changed");
      return user;
    },
  );
}

function organizationRoutes(app: ZodScope, { db }: InstanceContext): void {
  const tags = ["organizations"];

  app.get(
    "/organizations",
    {
      schema: {
        tags,
        summary: "List organizations by name",
        querystring: ListAccountsQuery,
        response: { 200: OrganizationList, ...errorAnswers },
      },
    },
    async (request) => {
      const access = accessOf(request);
      return listOrganizations(db, request.query, { userId: userIdOf(access), visible: access.namespaces() });
    },
  );

  app.post(
    "/organizations",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Create an organization",
        description: "The name is a namespace of jobs and secrets. It can't be changed, and is never given up.",
        body: CreateOrganizationRequest,
        response: { 201: OrganizationView, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const organization = await audited(
        db,
        request,
        (transaction) => createOrganization(transaction, request.body),
        ({ name }) => ({ action: "organization.created", namespace: name, target: { kind: "organization", name } }),
      );
      request.log.info({ organization: organization.name }, "organization created");
      return reply.status(201).send(organization);
    },
  );

  app.get(
    "/organizations/:name",
    { schema: { tags, summary: "Show an organization", params, response: { 200: OrganizationView, ...errorAnswers } } },
    async (request) => {
      const { name } = request.params;
      const access = accessOf(request);
      access.require({ namespace: name }, noOrganization(name));
      return getOrganization(db, name, userIdOf(access));
    },
  );

  app.patch(
    "/organizations/:name",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Change an organization's display name",
        params,
        body: UpdateOrganizationRequest,
        response: { 200: OrganizationView, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const access = accessOf(request);
      access.require({ namespace: name }, noOrganization(name));
      const { displayName } = request.body;
      await audited(
        db,
        request,
        (transaction) => updateOrganization(transaction, name, displayName),
        () => ({
          action: "organization.changed",
          namespace: name,
          target: { kind: "organization", name },
          details: { displayName },
        }),
      );
      return getOrganization(db, name, userIdOf(access));
    },
  );
}

function organizationDeletionRoute(app: ZodScope, { db }: InstanceContext): void {
  app.delete(
    "/organizations/:name",
    {
      schema: {
        tags: ["organizations"],
        summary: "Delete an organization that has no secrets and no jobs that have not ended",
        description:
          "Its members and its access to repositories are removed. Finished jobs stay until their retention ends, and " +
          "only administrators see them. The name can't be used again.",
        params,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const { members } = await audited(
        db,
        request,
        (transaction) => deleteOrganization(transaction, name),
        (details) => ({
          action: "organization.deleted",
          namespace: name,
          target: { kind: "organization", name },
          details,
        }),
      );
      request.log.info({ organization: name, members }, "organization deleted");
      return reply.status(204).send(null);
    },
  );
}

function memberRoutes(app: ZodScope, { db }: InstanceContext): void {
  const tags = ["organizations"];

  app.get(
    "/organizations/:name/members",
    {
      schema: {
        tags,
        summary: "List the members of an organization by name",
        params,
        querystring: ListAccountsQuery,
        response: { 200: MemberList, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      accessOf(request).require({ namespace: name }, noOrganization(name));
      await getOrganization(db, name, null);
      return listMembers(db, name, request.query);
    },
  );

  app.put(
    "/organizations/:name/members/:user",
    {
      bodyLimit,
      schema: {
        tags,
        summary: "Add a member to an organization, or change the member's role",
        params: memberParams,
        body: SetMemberRequest,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name: organization, user } = request.params;
      const access = accessOf(request);
      access.require({ namespace: organization }, noOrganization(organization));
      const mayLeaveOwnerless = access.actor.kind === "administrator";
      const { role } = request.body;
      await audited(
        db,
        request,
        (transaction) => setMember(transaction, { organization, user }, role, { mayLeaveOwnerless }),
        () => ({
          action: "member.set",
          namespace: organization,
          target: { kind: "user", name: user },
          details: { role },
        }),
      );
      request.log.info({ organization, user, role }, "member set");
      return reply.status(204).send(null);
    },
  );

  app.delete(
    "/organizations/:name/members/:user",
    {
      schema: {
        tags,
        summary: "Remove a member from an organization",
        params: memberParams,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name: organization, user } = request.params;
      const access = accessOf(request);
      access.require({ namespace: organization }, noOrganization(organization));
      const mayLeaveOwnerless = access.actor.kind === "administrator";
      await audited(
        db,
        request,
        (transaction) => removeMember(transaction, { organization, user }, { mayLeaveOwnerless }),
        () => ({ action: "member.removed", namespace: organization, target: { kind: "user", name: user } }),
      );
      request.log.info({ organization, user }, "member removed");
      return reply.status(204).send(null);
    },
  );

  app.delete(
    "/account/organizations/:name",
    {
      schema: { tags, summary: "Leave an organization", params, response: { 204: z.null(), ...errorAnswers } },
    },
    async (request, reply) => {
      const { name: organization } = request.params;
      const access = accessOf(request);
      access.require({ namespace: organization }, noOrganization(organization));
      if (access.actor.kind !== "user") throw new Error("only users can leave an organization");
      const user = access.actor.user.name;
      await audited(
        db,
        request,
        (transaction) => removeMember(transaction, { organization, user }, { mayLeaveOwnerless: false }),
        () => ({ action: "member.removed", namespace: organization, target: { kind: "user", name: user } }),
      );
      request.log.info({ organization, user }, "member left");
      return reply.status(204).send(null);
    },
  );
}
