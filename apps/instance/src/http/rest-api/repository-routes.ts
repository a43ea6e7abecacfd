import {
  AddRepositoryRequest,
  RepositoryList,
  RepositoryName,
  RepositoryView,
  UpdateRepositoryRequest,
} from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import { recordAudit } from "../../audit/audit-log.ts";
import { unknownRepository } from "../../repositories/repository-rows.ts";
import { setVisibility } from "../../repositories/repository-visibility.ts";
import { audited, auditSource } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { accessOf, type RequestAccess } from "../shared/route-access.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const RepositoryParams = z.strictObject({ name: RepositoryName });
/** Turns an unknown repository into 404: here it is the resource. A job that names one gets 422. */
async function named<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof AirlockError && error.code === "unknown-repository") throw absent(error);
    throw error;
  }
}

function absent(error: AirlockError): AirlockError {
  return new AirlockError(error.message, {
    code: "not-found",
    ...(error.hint ? { hint: error.hint } : {}),
    cause: error,
  });
}

/** Leaves out organizations that the caller is not a member of. */
function shownTo(access: RequestAccess, repository: RepositoryView): RepositoryView {
  const known = access.namespaces();
  const { organizations } = repository;
  if (known === null || organizations === null) return repository;
  return { ...repository, organizations: organizations.filter((name) => known.includes(name)) };
}

const tags = ["repositories"];

export function repositoryRoutes(app: ZodScope, context: InstanceContext): void {
  const { repositories } = context;

  app.post(
    "/repositories",
    {
      schema: {
        tags,
        summary: "Add a repository, or fetch it if it exists",
        body: AddRepositoryRequest,
        response: { 201: RepositoryView, ...errorAnswers },
      },
    },
    async (request, reply) => {
      const repository = await repositories.add(request.body, (transaction, { name, url }) =>
        recordAudit(transaction, auditSource(request), [
          {
            action: "repository.added",
            target: { kind: "repository", name },
            details: { url, organizations: request.body.organizations },
          },
        ]),
      );
      request.log.info({ repository: repository.name, state: repository.state }, "repository added");
      return reply.status(201).send(repository);
    },
  );

  app.get(
    "/repositories",
    { schema: { tags, summary: "List repositories", response: { 200: RepositoryList, ...errorAnswers } } },
    async (request) => {
      const access = accessOf(request);
      const all = await repositories.list();
      const visible = all.filter(({ organizations }) => access.permits({ visibleTo: organizations }));
      // Also of an empty list, nothing is left to check.
      access.namespaces();
      return { repositories: visible.map((repository) => shownTo(access, repository)) };
    },
  );

  // Names contain slashes; clients encode them as %2F, so that a name is one segment.
  app.get(
    "/repositories/:name",
    {
      schema: {
        tags,
        summary: "Show a repository",
        description: "Slashes of the name are written as %2F.",
        params: RepositoryParams,
        response: { 200: RepositoryView, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const access = accessOf(request);
      const repository = await named(repositories.get(name));
      access.require({ visibleTo: repository.organizations }, absent(unknownRepository(name)));
      return shownTo(access, repository);
    },
  );

  app.patch(
    "/repositories/:name",
    {
      schema: {
        tags,
        summary: "Change who sees a repository",
        params: RepositoryParams,
        body: UpdateRepositoryRequest,
        response: { 200: RepositoryView, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const { organizations } = request.body;
      await named(
        audited(
          context.db,
          request,
          (transaction) => setVisibility(transaction, name, organizations),
          () => ({
            action: "repository.changed",
            target: { kind: "repository", name },
            details: { organizations },
          }),
        ),
      );
      request.log.info({ repository: name, organizations }, "repository's visibility changed");
      return repositories.get(name);
    },
  );

  app.post(
    "/repositories/:name/refresh",
    {
      schema: {
        tags,
        summary: "Fetch a repository now",
        params: RepositoryParams,
        response: { 200: RepositoryView, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      await named(repositories.refresh(name));
      const target = { kind: "repository", name };
      await recordAudit(context.db, auditSource(request), [{ action: "repository.refreshed", target }]);
      return repositories.get(name);
    },
  );

  app.delete(
    "/repositories/:name",
    {
      schema: {
        tags,
        summary: "Remove a repository and delete its mirror",
        params: RepositoryParams,
        response: { 204: z.null(), ...errorAnswers },
      },
    },
    async (request, reply) => {
      const { name } = request.params;
      const removed = repositories.remove(name, (transaction) =>
        recordAudit(transaction, auditSource(request), [
          { action: "repository.removed", target: { kind: "repository", name } },
        ]),
      );
      await named(removed);
      request.log.info({ repository: name }, "repository removed");
      return reply.status(204).send(null);
    },
  );
}
