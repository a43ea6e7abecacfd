import {
  CreatedExecutorToken,
  type CreateExecutorTokenRequest,
  ExecutorTokenList,
  RevokedExecutorToken,
} from "@airlock/api";
import type { z } from "zod";
import { type Abortable, requestJson } from "./http.ts";
import { restPath } from "./rest-path.ts";

export const listExecutorTokens = async (options?: Abortable) =>
  (await requestJson(ExecutorTokenList, restPath`/executor-tokens`, options)).tokens;

export const createExecutorToken = (body: z.input<typeof CreateExecutorTokenRequest>) =>
  requestJson(CreatedExecutorToken, restPath`/executor-tokens`, { method: "POST", body });

export const rotateExecutorToken = (id: number, overlapMs: number) =>
  requestJson(CreatedExecutorToken, restPath`/executor-tokens/${id}/rotate`, { method: "POST", body: { overlapMs } });

export const revokeExecutorToken = (id: number) =>
  requestJson(RevokedExecutorToken, restPath`/executor-tokens/${id}`, { method: "DELETE" });
