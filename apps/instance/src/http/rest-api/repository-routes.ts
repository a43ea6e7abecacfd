import { AddRepositoryRequest, RepositoryList, RepositoryName, RepositoryView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import { z } from "zod";
import type { InstanceContext } from "../shared/instance-context.ts";
import { errorAnswers, type ZodScope } from "./zod-scope.ts";

const RepositoryParams = z.strictObject({ name: RepositoryName });
/** Turns an unknown repository into 404: here it is the resource. A job that names one gets 422. */
async function named<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof AirlockError && error.code === "unknown-repository") {
      throw new AirlockError(error.message, {
        code: "not-found",
        ...(error.hint ? { hint: error.hint } : {}),
        cause: error,
      });
    }
    throw error;
  }
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
      const repository = await repositories.add(request.body);
      request.log.info({ repository: repository.name, state: repository.state }, "repository added");
      return reply.status(201).send(repository);
    },
  );

  app.get(
    "/repositories",
    { schema: { tags, summary: "List repositories", response: { 200: RepositoryList, ...errorAnswers } } },
    async () => ({ repositories: await repositories.list() }),
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
    async (request) => named(repositories.get(request.params.name)),
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
      await named(repositories.refresh(request.params.name));
      return repositories.get(request.params.name);
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
      await named(repositories.remove(request.params.name));
      request.log.info({ repository: request.params.name }, "repository removed");
      return reply.status(204).send(null);
    },
  );
}
