import type {
  ArtifactKind,
  AuditAction,
  AuditCredential,
  JobSpec,
  OrganizationRole,
  SecretAction,
  SecretEventView,
  SiteRole,
  StepResult,
  StepUsage,
  TokenScope,
  WebhookEvent,
} from "@airlock/api";
import type { FailureReason, JobState } from "@airlock/job";
import type { ColumnType, Generated, JSONColumnType } from "kysely";

type Labels = JSONColumnType<Readonly<Record<string, string>>>;
type DefaultedTime = ColumnType<Date, never, never>;

interface QueuesTable {
  name: string;
  max_attempts: Generated<number>;
  max_losses: Generated<number>;
  backoff_ms: Generated<number>;
  backoff_max_ms: Generated<number>;
  lease_ms: Generated<number>;
  heartbeat_interval_ms: Generated<number>;
  /** Limit of the queue's running jobs; `null`: no limit. */
  concurrency_limit: number | null;
  namespace_concurrency_limit: number | null;
  weight: Generated<number>;
  max_log_bytes: Generated<number>;
  /** Whether executors get jobs that ask for more than they support. */
  allow_unenforced: Generated<boolean>;
  /** How long a job may wait for an executor; `null`: forever. */
  max_wait_ms: number | null;
  created_at: DefaultedTime;
}

type RepositoryState = "cloning" | "ready" | "failed";

interface RepositoriesTable {
  name: string;
  /** Without credentials. */
  url: string;
  /** Encrypted URL with credentials; `null`: it has none. */
  sealed_url: Buffer | null;
  /** Id of the key that encrypts `sealed_url`. */
  key_id: string | null;
  state: Generated<RepositoryState>;
  error: string | null;
  head: string | null;
  fetched_at: Date | null;
  size_bytes: number | null;
  created_at: DefaultedTime;
  /** `false`: only the organizations in `repository_organizations` and administrators see it. */
  visible_to_everyone: Generated<boolean>;
}

interface RepositoryOrganizationsTable {
  repository: string;
  organization: string;
}

interface NamespacesTable {
  name: string;
  kind: "user" | "organization";
  display_name: Generated<string>;
  created_at: DefaultedTime;
  /** Only of organizations. */
  deleted_at: Generated<Date | null>;
}

interface UsersTable {
  id: Generated<number>;
  name: string;
  role: SiteRole;
  disabled_at: Date | null;
  /** Argon2id in the PHC format; `null`: the user can't sign in with a password. */
  password: string | null;
  created_at: DefaultedTime;
}

interface UserSessionsTable {
  id: Generated<number>;
  token_sha256: Buffer;
  user_id: number;
  created_at: DefaultedTime;
  last_used_at: ColumnType<Date, never, Date>;
  expires_at: Date;
  address: string;
  user_agent: string;
}

interface AccessTokensTable {
  id: Generated<number>;
  token_sha256: Buffer;
  user_id: number;
  name: string;
  scopes: TokenScope[];
  created_at: DefaultedTime;
  /** `null`: never. */
  expires_at: Date | null;
  last_used_at: Date | null;
  last_address: string | null;
}

interface WebhooksTable {
  id: Generated<number>;
  namespace: string;
  name: string;
  url: string;
  events: WebhookEvent[];
  enabled: Generated<boolean>;
  sealed: Buffer;
  key_id: string;
  created_at: DefaultedTime;
}

interface CommandLineLoginsTable {
  id: Generated<number>;
  secret_sha256: Buffer;
  code: string;
  host: string;
  address: string;
  network: string;
  created_at: DefaultedTime;
  expires_at: Date;
  /** `null`: nobody confirmed. */
  session_id: Generated<number | null>;
  confirmation_sha256: Generated<Buffer | null>;
  token_name: Generated<string | null>;
  token_scopes: Generated<TokenScope[] | null>;
  token_expires_at: Generated<Date | null>;
  tries: Generated<number>;
}

interface ExecutorTokensTable {
  id: Generated<number>;
  token_sha256: Buffer;
  queue: string;
  name: string;
  created_at: DefaultedTime;
  /** A user's name, or `administrator`. */
  created_by: string;
  /** Set when another token replaces this one; `null`: never. */
  expires_at: Date | null;
  last_used_at: Date | null;
  last_address: string | null;
}

interface ExecutorTokenUsesTable {
  token: number;
  executor: string;
  last_used_at: ColumnType<Date, never, Date>;
}

interface PasswordLinksTable {
  user_id: number;
  token_sha256: Buffer;
  expires_at: Date;
}

interface SignInAttemptsTable {
  id: Generated<number>;
  bucket: Buffer;
  at: DefaultedTime;
}

interface MembershipsTable {
  organization: string;
  user_id: number;
  role: OrganizationRole;
}

interface SecretKeysTable {
  key_id: string;
  registered_at: DefaultedTime;
}

interface SecretsTable {
  id: Generated<number>;
  name: string;
  /** Empty: every namespace. */
  namespace: string;
  /** Empty: every queue. */
  queue: string;
  description: string;
  key_id: string;
  sealed: Buffer;
  created_at: DefaultedTime;
  created_by: string;
  updated_at: ColumnType<Date, never, Date>;
  updated_by: string;
  last_used_at: Date | null;
}

interface SecretEventsTable {
  id: Generated<number>;
  at: DefaultedTime;
  action: SecretAction;
  name: string;
  namespace: string;
  queue: string;
  actor: string;
  via: SecretEventView["via"];
  job: number | null;
  attempt: number | null;
  step: string | null;
}

interface JobsTable {
  id: Generated<number>;
  queue: string;
  priority: Generated<number>;
  state: Generated<JobState>;
  spec: JSONColumnType<JobSpec>;
  labels: Labels;
  namespace: Generated<string>;
  /** Resources that the job requires; `null`: any. */
  cpu_millis: number | null;
  memory_bytes: number | null;
  disk_bytes: number | null;
  /** What the job asks for beyond the base protocol. */
  needs: ColumnType<string[], string | undefined, never>;
  /** Round in which the job is handed out, one job per namespace and round. Equal priorities go by turn, then id. */
  turn: Generated<number>;
  /** Identifies all jobs with the same namespace and demands. */
  lane: ColumnType<string, never, never>;
  repository: string | null;
  revision: string;
  commit: string | null;
  /** Warnings from the job's submission. */
  warnings: Generated<string[]>;
  attempt: Generated<number>;
  errors: Generated<number>;
  losses: Generated<number>;
  cancel_requested: Generated<boolean>;
  visible_at: ColumnType<Date, never, Date>;
  lease_expires_at: Date | null;
  executor: string | null;
  failure_reason: FailureReason | null;
  failure_message: string | null;
  exit_code: number | null;
  queued_at: DefaultedTime;
  started_at: Date | null;
  finished_at: Date | null;
  idempotency_key: string | null;
  idempotency_sha256: Buffer | null;
}

export type AttemptState = Exclude<JobState, "queued">;

interface AttemptsTable {
  job: number;
  attempt: number;
  executor: string;
  state: AttemptState;
  started_at: Date;
  finished_at: Date | null;
  failure_reason: FailureReason | null;
  failure_message: string | null;
  exit_code: number | null;
  /** Results that the executor reported; `null`: none. */
  steps: JSONColumnType<StepResult[]> | null;
}

interface ArtifactsTable {
  id: Generated<number>;
  job: number;
  attempt: number;
  name: string;
  kind: ArtifactKind;
  bytes: number;
  sha256: string;
  /** Key in the blob store. */
  blob: string;
  created_at: DefaultedTime;
}

interface StepUsageTable {
  job: number;
  attempt: number;
  step: number;
  usage: JSONColumnType<Omit<StepUsage, "step">>;
}

interface BlobGarbageTable {
  blob: string;
  due_at: ColumnType<Date, never, never>;
  kind: Generated<"artifacts" | "uploads">;
  /** The namespace of an artifact, the repository of a code index; empty: not known any more. */
  owner: Generated<string>;
  bytes: Generated<number>;
}

interface JobTokensTable {
  token_sha256: Buffer;
  job: number;
  attempt: number;
  queue: string;
  repository: string | null;
  executor: string;
  created_at: DefaultedTime;
}

interface LogEntriesTable {
  job: number;
  attempt: number;
  entry_id: number;
  key: string;
  command: JSONColumnType<string[]>;
  started_at: Date;
  exit_code: number | null;
  duration_ms: number | null;
  length: Generated<number>;
  stored_length: Generated<number>;
  notes: Generated<number>;
}

interface LogNotesTable {
  job: number;
  attempt: number;
  entry_id: number;
  note_id: number;
  offset: number;
  note: string;
}

export type LogStream = "stdout" | "stderr";

interface LogChunksTable {
  job: number;
  attempt: number;
  entry_id: number;
  offset: number;
  stream: LogStream;
  bytes: Buffer;
  /** `null`: the chunk is older than this column. */
  received_at: ColumnType<Date | null, undefined, never>;
}

interface ExecutorsTable {
  name: string;
  queues: string[];
  /** Whether the executor supports Airlock's extensions. */
  airlock: boolean;
  version: string;
  runtime: string;
  runtime_version: string;
  os: string;
  architecture: string;
  git_version: string;
  docker_version: string;
  /** `null`: the executor does not report it. */
  slots: number | null;
  labels: Labels;
  draining: boolean;
  drain_requested: Generated<boolean>;
  /** Whether it stays without taking jobs; `null`: it exits after a drain. */
  paused: boolean | null;
  process: Generated<string>;
  capabilities: Generated<string[]>;
  cpu_millis: number | null;
  memory_bytes: number | null;
  disk_bytes: number | null;
  first_seen_at: DefaultedTime;
  last_seen_at: ColumnType<Date, never, Date>;
}

interface EndedSessionsTable {
  id: string;
  expires_at: Date;
}

interface CodeIntelUploadsTable {
  id: Generated<number>;
  state: Generated<"uploading" | "uploaded">;
  repository: string;
  commit: string;
  root: string;
  indexer_name: string;
  indexer_version: string;
  associated_index_id: number | null;
  content_type: string;
  uncompressed_bytes: number | null;
  num_parts: number;
  /** The attempt whose token created the upload; `null`: a user or an executor did. */
  job: number | null;
  attempt: number | null;
  created_at: DefaultedTime;
  finished_at: Date | null;
}

interface CodeIntelUploadPartsTable {
  upload: number;
  part: number;
  bytes: number;
  blob: string;
}

interface IdentitiesTable {
  id: Generated<number>;
  issuer: string;
  subject: string;
  user_id: number;
  created_at: DefaultedTime;
  last_used_at: Date | null;
}

interface AuditLogTable {
  id: Generated<number>;
  at: DefaultedTime;
  action: AuditAction;
  actor: string;
  via: AuditCredential;
  credential: string | null;
  address: string | null;
  namespace: string | null;
  target_kind: string | null;
  target: string | null;
  job: number | null;
  details: JSONColumnType<Record<string, unknown>>;
}

/** The tables after the newest migration. 64-bit integers are read as numbers: ids and sizes stay below 2^53. */
export interface Schema {
  audit_log: AuditLogTable;
  identities: IdentitiesTable;
  code_intel_upload_parts: CodeIntelUploadPartsTable;
  code_intel_uploads: CodeIntelUploadsTable;
  ended_sessions: EndedSessionsTable;
  queues: QueuesTable;
  repositories: RepositoriesTable;
  repository_organizations: RepositoryOrganizationsTable;
  namespaces: NamespacesTable;
  users: UsersTable;
  memberships: MembershipsTable;
  user_sessions: UserSessionsTable;
  password_links: PasswordLinksTable;
  access_tokens: AccessTokensTable;
  command_line_logins: CommandLineLoginsTable;
  webhooks: WebhooksTable;
  executor_tokens: ExecutorTokensTable;
  executor_token_uses: ExecutorTokenUsesTable;
  sign_in_attempts: SignInAttemptsTable;
  jobs: JobsTable;
  attempts: AttemptsTable;
  artifacts: ArtifactsTable;
  step_usage: StepUsageTable;
  blob_garbage: BlobGarbageTable;
  job_tokens: JobTokensTable;
  log_entries: LogEntriesTable;
  log_chunks: LogChunksTable;
  log_notes: LogNotesTable;
  executors: ExecutorsTable;
  secret_keys: SecretKeysTable;
  secrets: SecretsTable;
  secret_events: SecretEventsTable;
}
