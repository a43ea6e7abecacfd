import { ExecutorList, ExecutorName, type ExecutorView } from "@airlock/api";
import { AirlockError } from "@airlock/job";
import type { FastifyRequest } from "fastify";
import { z } from "zod";
import { listExecutors, requestDrain, requestPause, requestResume } from "../../executors/executor-registry.ts";
import { audited } from "../shared/audit-source.ts";
import type { InstanceContext } from "../shared/instance-context.ts";
import { errorAnswers, notFound, type ZodScope } from "./zod-scope.ts";

export function executorRoutes(app: ZodScope, context: InstanceContext): void {
  /** Tells the executor about its request, and answers with the executor. */
  async function changed(
    request: FastifyRequest,
    name: string,
    found: boolean,
    change: "drain" | "pause" | "resume",
  ): Promise<ExecutorView> {
    if (!found) throw notFound(`active executor "${name}"`);
    context.notifications.publish({ kind: "executor", executor: name });
    request.log.info({ executor: name }, `executor ${change} requested`);
    const [executor] = await listExecutors(context.db, [name]);
    if (!executor) throw notFound(`active executor "${name}"`);
    return executor;
  }

  app.get(
    "/executors",
    {
      schema: {
        tags: ["executors"],
        summary: "List executors, active ones first",
        response: { 200: ExecutorList, ...errorAnswers },
      },
    },
    async () => ({ executors: await listExecutors(context.db) }),
  );

  app.post(
    "/executors/:name/drain",
    {
      schema: {
        tags: ["executors"],
        summary: "Drain an executor: it takes no new jobs",
        params: z.strictObject({ name: ExecutorName }),
        response: { 200: ExecutorList.shape.executors.element, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const drained = await audited(
        context.db,
        request,
        (transaction) => requestDrain(transaction, name),
        (done) => (done ? { action: "executor.drained", target: { kind: "executor", name } } : null),
      );
      return changed(request, name, drained, "drain");
    },
  );

  app.post(
    "/executors/:name/pause",
    {
      schema: {
        tags: ["executors"],
        summary: "Pause an executor until it is resumed",
        description:
          "It finishes its running jobs, takes no new ones, and stays connected. A drain does the same with such an " +
          "executor. One that would exit instead is refused here, and its drain can't be undone.",
        params: z.strictObject({ name: ExecutorName }),
        response: { 200: ExecutorList.shape.executors.element, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const result = await audited(
        context.db,
        request,
        (transaction) => requestPause(transaction, name),
        (outcome) => (outcome === "paused" ? { action: "executor.paused", target: { kind: "executor", name } } : null),
      );
      if (result === "leaving") {
        throw new AirlockError(`executor "${name}" cannot be paused: it would exit`, {
          code: "executor-leaving",
          hint: "It drains already, or has a version that exits after every drain. To end it after its jobs, drain it.",
        });
      }
      return changed(request, name, result === "paused", "pause");
    },
  );

  app.post(
    "/executors/:name/resume",
    {
      schema: {
        tags: ["executors"],
        summary: "Resume a drained executor",
        params: z.strictObject({ name: ExecutorName }),
        response: { 200: ExecutorList.shape.executors.element, ...errorAnswers },
      },
    },
    async (request) => {
      const { name } = request.params;
      const result = await audited(
        context.db,
        request,
        (transaction) => requestResume(transaction, name),
        (outcome) =>
          outcome === "absent" || outcome === "leaving"
            ? null
            : { action: "executor.resumed", target: { kind: "executor", name } },
      );
      if (result === "leaving") {
        throw new AirlockError(`executor "${name}" cannot be resumed: it exits when its running jobs have ended`, {
          code: "executor-leaving",
          hint: "It received a signal, reached a limit of its own, or has a version that exits after every drain. Start it again.",
        });
      }
      return changed(request, name, result === "resumed", "resume");
    },
  );
}
