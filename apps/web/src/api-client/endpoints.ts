import {
  type AddRepositoryRequest,
  ExecutorList,
  JobList,
  type JobSpecInput,
  JobView,
  QueueList,
  RepositoryList,
  RepositoryView,
  SessionView,
} from "@airlock/api";
import { requestJson, requestNothing } from "./http.ts";

interface Abortable {
  readonly signal?: AbortSignal;
}

const api = "/api/v1";

export const getSession = (options?: Abortable) => requestJson(SessionView, `${api}/session`, options);

export const createSession = (token: string) => requestNothing(`${api}/session`, { method: "POST", body: { token } });

export const deleteSession = () => requestNothing(`${api}/session`, { method: "DELETE" });

/** `search` as in `jobListSearch`. */
export const listJobs = (search: URLSearchParams, options?: Abortable) =>
  requestJson(JobList, `${api}/jobs?${search}`, options);

export const getJob = (id: number, options?: Abortable) => requestJson(JobView, `${api}/jobs/${id}`, options);

export const createJob = (spec: JobSpecInput) => requestJson(JobView, `${api}/jobs`, { method: "POST", body: spec });

export const cancelJob = (id: number) => requestJson(JobView, `${api}/jobs/${id}/cancel`, { method: "POST" });

export const retryJob = (id: number) => requestJson(JobView, `${api}/jobs/${id}/retry`, { method: "POST" });

export const listExecutors = async (options?: Abortable) =>
  (await requestJson(ExecutorList, `${api}/executors`, options)).executors;

export const listQueues = async (options?: Abortable) =>
  (await requestJson(QueueList, `${api}/queues`, options)).queues;

export const listRepositories = async (options?: Abortable) =>
  (await requestJson(RepositoryList, `${api}/repositories`, options)).repositories;

export const addRepository = (body: AddRepositoryRequest) =>
  requestJson(RepositoryView, `${api}/repositories`, { method: "POST", body });

export const jobEventsPath = (id: number) => `${api}/jobs/${id}/events`;
export const listEventsPath = `${api}/events`;

/** Plain text of an attempt, or of one of its entries. */
export function jobLogsPath(id: number, attempt: number, entryId?: number): string {
  const search = new URLSearchParams({ attempt: String(attempt) });
  if (entryId !== undefined) search.set("entry", String(entryId));
  return `${api}/jobs/${id}/logs?${search}`;
}
