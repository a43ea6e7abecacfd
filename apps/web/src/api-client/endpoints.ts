import {
  type AddRepositoryRequest,
  ArchiveListing,
  type CreateQueueRequest,
  ExecutorList,
  JobList,
  type JobSpecInput,
  JobUsage,
  JobView,
  QueueList,
  QueueView,
  RepositoryList,
  RepositoryView,
  SecretAudit,
  SecretList,
  SecretView,
  SessionView,
  type SetSecretRequest,
  type UpdateQueueRequest,
} from "@airlock/api";
import { type Abortable, request, requestJson, requestNothing } from "./http.ts";

const api = "/api/v1";

export const getSession = (options?: Abortable) => requestJson(SessionView, `${api}/session`, options);

export const createSession = (token: string) => requestNothing(`${api}/session`, { method: "POST", body: { token } });

export const deleteSession = () => requestNothing(`${api}/session`, { method: "DELETE" });

/** `search`: see `jobListSearch`. */
export const listJobs = (search: URLSearchParams, options?: Abortable) =>
  requestJson(JobList, `${api}/jobs?${search}`, options);

export const getJob = (id: number, options?: Abortable) => requestJson(JobView, `${api}/jobs/${id}`, options);

export const createJob = (spec: JobSpecInput) => requestJson(JobView, `${api}/jobs`, { method: "POST", body: spec });

export const cancelJob = (id: number) => requestJson(JobView, `${api}/jobs/${id}/cancel`, { method: "POST" });

export const retryJob = (id: number) => requestJson(JobView, `${api}/jobs/${id}/retry`, { method: "POST" });

export const listExecutors = async (options?: Abortable) =>
  (await requestJson(ExecutorList, `${api}/executors`, options)).executors;

export const drainExecutor = (name: string) =>
  requestJson(ExecutorList.shape.executors.element, `${api}/executors/${encodeURIComponent(name)}/drain`, {
    method: "POST",
  });

export const pauseExecutor = (name: string) =>
  requestJson(ExecutorList.shape.executors.element, `${api}/executors/${encodeURIComponent(name)}/pause`, {
    method: "POST",
  });

export const resumeExecutor = (name: string) =>
  requestJson(ExecutorList.shape.executors.element, `${api}/executors/${encodeURIComponent(name)}/resume`, {
    method: "POST",
  });

export const listQueues = async (options?: Abortable) =>
  (await requestJson(QueueList, `${api}/queues`, options)).queues;

export const createQueue = (body: CreateQueueRequest) =>
  requestJson(QueueView, `${api}/queues`, { method: "POST", body });

export const updateQueue = (name: string, body: UpdateQueueRequest) =>
  requestJson(QueueView, `${api}/queues/${encodeURIComponent(name)}`, { method: "PATCH", body });

export const listRepositories = async (options?: Abortable) =>
  (await requestJson(RepositoryList, `${api}/repositories`, options)).repositories;

export const deleteQueue = (name: string) =>
  requestNothing(`${api}/queues/${encodeURIComponent(name)}`, { method: "DELETE" });

export const refreshRepository = (name: string) =>
  requestJson(RepositoryView, `${api}/repositories/${encodeURIComponent(name)}/refresh`, { method: "POST" });

export const removeRepository = (name: string) =>
  requestNothing(`${api}/repositories/${encodeURIComponent(name)}`, { method: "DELETE" });

export const addRepository = (body: AddRepositoryRequest) =>
  requestJson(RepositoryView, `${api}/repositories`, { method: "POST", body });

/** @param organizations `null`: every user sees the repository. */
export const setRepositoryVisibility = (name: string, organizations: readonly string[] | null) =>
  requestJson(RepositoryView, `${api}/repositories/${encodeURIComponent(name)}`, {
    method: "PATCH",
    body: { organizations },
  });

export const listSecrets = async (options?: Abortable) =>
  (await requestJson(SecretList, `${api}/secrets`, options)).secrets;

export const setSecret = (name: string, body: SetSecretRequest) =>
  requestJson(SecretView, `${api}/secrets/${encodeURIComponent(name)}`, { method: "PUT", body });

export function deleteSecret({ name, namespace, queue }: Pick<SecretView, "name" | "namespace" | "queue">) {
  const search = new URLSearchParams();
  if (namespace !== null) search.set("namespace", namespace);
  if (queue !== null) search.set("queue", queue);
  return requestNothing(`${api}/secrets/${encodeURIComponent(name)}?${search}`, { method: "DELETE" });
}

/** Reads a page of the audit record; `before` is `next` of the previous page. */
export function readSecretAudit(
  { name, before }: { readonly name: string | null; readonly before: number | null },
  options?: Abortable,
) {
  const search = new URLSearchParams();
  if (name !== null) search.set("name", name);
  if (before !== null) search.set("before", String(before));
  return requestJson(SecretAudit, `${api}/secrets/audit?${search}`, options);
}

export const jobEventsPath = (id: number) => `${api}/jobs/${id}/events`;
export const listEventsPath = `${api}/events`;

/** Path of the log of an attempt or of one of its entries, as plain text with the executor's messages. */
export function jobLogsPath(id: number, attempt: number, entryId?: number): string {
  const search = new URLSearchParams({ attempt: String(attempt), notes: "true" });
  if (entryId !== undefined) search.set("entry", String(entryId));
  return `${api}/jobs/${id}/logs?${search}`;
}

export const readJobUsage = (id: number, attempt: number, options?: Abortable) =>
  requestJson(JobUsage, `${api}/jobs/${id}/usage?attempt=${attempt}`, options);

export const listArchive = (job: number, id: number, options?: Abortable) =>
  requestJson(ArchiveListing, `${artifactPath(job, id)}/files`, options);

export const artifactPath = (job: number, id: number) => `${api}/jobs/${job}/artifacts/${id}`;

/** Reads the beginning of an artifact as text, and stops the download after `maximumBytes`. */
export async function readArtifactText(job: number, id: number, maximumBytes: number, options?: Abortable) {
  const response = await request(artifactPath(job, id), options);
  const decoder = new TextDecoder();
  let text = "";
  let bytes = 0;
  const reader = response.body?.getReader();
  while (reader && bytes < maximumBytes) {
    const { done, value } = await reader.read();
    if (done) break;
    bytes += value.length;
    text += decoder.decode(value, { stream: true });
  }
  await reader?.cancel();
  return text;
}
