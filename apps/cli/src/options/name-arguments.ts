import {
  AuditQuery,
  CreateExecutorTokenRequest,
  DisplayName,
  ExecutorName,
  ListAccountsQuery,
  ListJobsQuery,
  Namespace,
  NewNamespace,
  QueueName,
  RepositoryName,
  SecretName,
} from "@airlock/api";
import { z } from "zod";
import { checkedBy } from "./schema-argument.ts";

export const parseQueueName = checkedBy(QueueName, "a queue's name");
export const parseNamespace = checkedBy(Namespace, "a namespace");
export const parseUserName = checkedBy(Namespace, "a user's name");
export const parseOrganizationName = checkedBy(Namespace, "an organization's name");
export const parseNewName = checkedBy(NewNamespace, "a name for a user or an organization");
export const parseDisplayName = checkedBy(DisplayName, "a display name");
export const parseJobText = checkedBy(ListJobsQuery.shape.text.unwrap(), "a text to look for");
export const parseAccountText = checkedBy(ListAccountsQuery.shape.text.unwrap(), "a text to look for");
export const parseRepositoryName = checkedBy(RepositoryName, "a repository's name");
export const parseSecretName = checkedBy(SecretName, "a secret's name");
export const parseTokenName = checkedBy(CreateExecutorTokenRequest.shape.name, "a token's name");
export const parseAuditAction = checkedBy(AuditQuery.shape.action.unwrap(), "an action");
export const parseAuditActor = checkedBy(AuditQuery.shape.actor.unwrap(), "the name of a user or an executor");
export const parseAuditTarget = checkedBy(AuditQuery.shape.target.unwrap(), "a name");
export const parseExecutorName = checkedBy(ExecutorName, "an executor's name");

/** The name under which `airlock login` stores an instance. Colons separate the ports of hosts. */
export const parseInstanceName = checkedBy(
  z.string().regex(/^[A-Za-z0-9[][A-Za-z0-9.:[\]_-]{0,252}$/, "letters, digits and . : - _, at most 253"),
  "a name for an instance",
);

/** The key is the value of a header. */
export const parseIdempotencyKey = checkedBy(
  z.string().regex(/^[\x21-\x7e]{1,255}$/, "1 to 255 letters, digits and punctuation, no spaces"),
  "an idempotency key",
);
