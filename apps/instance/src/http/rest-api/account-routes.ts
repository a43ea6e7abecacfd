import {
  CreateOrganizationRequest,
  CreateUserRequest,
  ListAccountsQuery,
  MemberList,
  Namespace,
  OrganizationList,
  OrganizationView,
  SetMemberRequest,
  UpdateOrganizationRequest,
  UpdateUserRequest,
  UserList,
  UserView,
} from "@airlock/api";
import { z } from "zod";
import {
  createOrganization,
  getOrganization,
  listMembers,
  listOrganizations,
  removeMember,
  setMember,
  updateOrganization,
} from "../../accounts/organizations.ts";
import { createUser, getUser, listUsers, updateUser } from "../../accounts/users.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const params = z.strictObject({ name: Namespace });
const memberParams = z.strictObject({ name: Namespace, user: Namespace });
const bodyLimit = 16 * 1024;

export function accountRoutes(app: ZodScope, context: InstanceContext): void {
  userRoutes(app, context);
  organizationRoutes(app, context);
  memberRoutes(app, context);
}

function userRoutes(app: ZodScope, { db }: InstanceContext): void {
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
      const user = await createUser(db, { ...request.body, password: null });
      request.log.info({ user: user.name, role: user.role }, "user created");
      return reply.status(201).send(user);
    },
  );

  app.get(
    "/users/:name",
    { schema: { tags, summary: "Show a user", params, response: { 200: UserView, ...errorAnswers } } },
    async (request) => getUser(db, request.params.name),
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
      const user = await updateUser(db, request.params.name, request.body);
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
    async (request) => listOrganizations(db, request.query, { userId: null, visible: null }),
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
      const organization = await createOrganization(db, request.body);
      request.log.info({ organization: organization.name }, "organization created");
      return reply.status(201).send(organization);
    },
  );

  app.get(
    "/organizations/:name",
    { schema: { tags, summary: "Show an organization", params, response: { 200: OrganizationView, ...errorAnswers } } },
    async (request) => getOrganization(db, request.params.name, null),
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
      await updateOrganization(db, name, request.body.displayName);
      return getOrganization(db, name, null);
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
      const { name } = await getOrganization(db, request.params.name, null);
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
      await setMember(db, { organization, user }, request.body.role, { mayLeaveOwnerless: true });
      request.log.info({ organization, user, role: request.body.role }, "member set");
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
      await removeMember(db, { organization, user }, { mayLeaveOwnerless: true });
      request.log.info({ organization, user }, "member removed");
      return reply.status(204).send(null);
    },
  );
}
