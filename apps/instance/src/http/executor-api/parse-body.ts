import { describeIssues } from "@airlock/api";
import type { z } from "zod";
import { ExecutorApiError } from "./authenticate-executor.ts";

/** @throws {ExecutorApiError} 400 with a description of the problems. */
export function parseBody<Schema extends z.ZodType>(schema: Schema, body: unknown): z.output<Schema> {
  const parsed = schema.safeParse(body);
  if (!parsed.success) throw new ExecutorApiError(400, describeIssues(parsed.error).join("; "));
  return parsed.data;
}

/**
 * The protocol answers a request without an executor name with 500, not 400. The schema checks names of another type.
 */
export function requireExecutorName(body: unknown): void {
  const name = typeof body === "object" && body !== null && "executorName" in body ? body.executorName : "";
  if (name === "" || name === null) throw new ExecutorApiError(500, "executor name cannot be empty");
}
