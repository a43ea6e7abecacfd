import { initial } from "./0001-initial.ts";
import { artifacts } from "./0002-artifacts.ts";
import { scheduling } from "./0003-scheduling.ts";
import { uploads } from "./0004-uploads.ts";
import { secrets } from "./0005-secrets.ts";
import { operations } from "./0006-operations.ts";
import { namespaces } from "./0007-namespaces.ts";
import { endedSessions } from "./0008-ended-sessions.ts";
import { executorProcesses } from "./0009-executor-processes.ts";
import { jobWarnings } from "./0010-job-warnings.ts";
import { logNotes } from "./0011-log-notes.ts";
import { executorPauses } from "./0012-executor-pauses.ts";
import { jobNeeds } from "./0013-job-needs.ts";
import { maximumWaits } from "./0014-maximum-waits.ts";
import { storageQuotas } from "./0015-storage-quotas.ts";
import { uploadsOfJobs } from "./0016-uploads-of-jobs.ts";
import { jobFilters } from "./0017-job-filters.ts";
import { logTimes } from "./0018-log-times.ts";
import { accounts } from "./0019-accounts.ts";
import { signIn } from "./0020-sign-in.ts";
import { accessTokens } from "./0021-access-tokens.ts";
import { executorTokens } from "./0022-executor-tokens.ts";
import { auditLog } from "./0023-audit-log.ts";
import { identities } from "./0024-identities.ts";
import { auditTargets } from "./0025-audit-targets.ts";
import { stepUsage } from "./0026-step-usage.ts";
import { commandLineLogins } from "./0028-command-line-logins.ts";
import { webhooks } from "./0029-webhooks.ts";
import { deletedOrganizations } from "./0030-deleted-organizations.ts";
import { idempotencyKeys } from "./0031-idempotency-keys.ts";

/** One change of the schema. Never edit it after its release; add the next number instead. */
export interface Migration {
  readonly id: number;
  readonly name: string;
  readonly sql: string;
}

// Imported instead of read from files, so that a single-file bundle contains them.
export const migrations: readonly Migration[] = [
  initial,
  artifacts,
  scheduling,
  uploads,
  secrets,
  operations,
  namespaces,
  endedSessions,
  executorProcesses,
  jobWarnings,
  logNotes,
  executorPauses,
  jobNeeds,
  maximumWaits,
  storageQuotas,
  uploadsOfJobs,
  jobFilters,
  logTimes,
  accounts,
  signIn,
  accessTokens,
  executorTokens,
  auditLog,
  identities,
  auditTargets,
  stepUsage,
  commandLineLogins,
  webhooks,
  deletedOrganizations,
  idempotencyKeys,
];
