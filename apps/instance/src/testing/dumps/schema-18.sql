SET statement_timeout = 0;
SET lock_timeout = 0;
SET idle_in_transaction_session_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
SET check_function_bodies = false;
SET xmloption = content;
SET client_min_messages = warning;
SET row_security = off;
CREATE FUNCTION public.airlock_now() RETURNS timestamp with time zone
    LANGUAGE sql STABLE PARALLEL SAFE
    AS $$select now()$$;
CREATE FUNCTION public.discard_artifact_blob() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
begin
  insert into blob_garbage (blob, kind, bytes) values (old.blob, tg_argv[0], old.bytes)
  on conflict (blob) do update set due_at = excluded.due_at;
  return old;
end $$;
SET default_tablespace = '';
SET default_table_access_method = heap;
CREATE TABLE public.airlock_migrations (
    id integer NOT NULL,
    name text NOT NULL,
    applied_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.artifacts (
    id bigint NOT NULL,
    job bigint NOT NULL,
    attempt integer NOT NULL,
    name text NOT NULL,
    kind text NOT NULL,
    bytes bigint NOT NULL,
    sha256 text NOT NULL,
    blob text NOT NULL,
    created_at timestamp with time zone DEFAULT public.airlock_now() NOT NULL,
    CONSTRAINT artifacts_kind_check CHECK ((kind = ANY (ARRAY['file-archive'::text, 'diff'::text])))
);
ALTER TABLE public.artifacts ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.artifacts_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.attempts (
    job bigint NOT NULL,
    attempt integer NOT NULL,
    executor text NOT NULL,
    state text DEFAULT 'processing'::text NOT NULL,
    started_at timestamp with time zone NOT NULL,
    finished_at timestamp with time zone,
    failure_reason text,
    failure_message text,
    exit_code integer,
    steps jsonb,
    CONSTRAINT attempts_state_check CHECK ((state = ANY (ARRAY['processing'::text, 'completed'::text, 'errored'::text, 'failed'::text, 'canceled'::text])))
);
CREATE TABLE public.blob_garbage (
    blob text NOT NULL,
    due_at timestamp with time zone DEFAULT public.airlock_now() NOT NULL,
    kind text DEFAULT 'artifacts'::text NOT NULL,
    owner text DEFAULT ''::text NOT NULL,
    bytes bigint DEFAULT 0 NOT NULL,
    CONSTRAINT blob_garbage_kind_check CHECK ((kind = ANY (ARRAY['artifacts'::text, 'uploads'::text])))
);
CREATE TABLE public.code_intel_upload_parts (
    upload bigint NOT NULL,
    part integer NOT NULL,
    bytes bigint NOT NULL,
    blob text NOT NULL
);
CREATE TABLE public.code_intel_uploads (
    id bigint NOT NULL,
    state text DEFAULT 'uploading'::text NOT NULL,
    repository text NOT NULL,
    commit text NOT NULL,
    root text NOT NULL,
    indexer_name text NOT NULL,
    indexer_version text NOT NULL,
    associated_index_id bigint,
    content_type text NOT NULL,
    uncompressed_bytes bigint,
    num_parts integer NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    finished_at timestamp with time zone,
    job bigint,
    attempt integer,
    CONSTRAINT code_intel_uploads_num_parts_check CHECK ((num_parts >= 1)),
    CONSTRAINT code_intel_uploads_state_check CHECK ((state = ANY (ARRAY['uploading'::text, 'uploaded'::text])))
);
ALTER TABLE public.code_intel_uploads ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.code_intel_uploads_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.ended_sessions (
    id text NOT NULL,
    expires_at timestamp with time zone NOT NULL
);
CREATE UNLOGGED TABLE public.executor_metrics (
    executor text NOT NULL,
    series integer NOT NULL,
    content text NOT NULL,
    pushed_at timestamp with time zone DEFAULT public.airlock_now() NOT NULL
)
WITH (autovacuum_vacuum_scale_factor='0.1', autovacuum_vacuum_threshold='200');
CREATE TABLE public.executors (
    name text NOT NULL,
    queues text[] NOT NULL,
    airlock boolean NOT NULL,
    version text NOT NULL,
    runtime text NOT NULL,
    runtime_version text NOT NULL,
    os text NOT NULL,
    architecture text NOT NULL,
    git_version text NOT NULL,
    docker_version text NOT NULL,
    slots integer,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    draining boolean DEFAULT false NOT NULL,
    first_seen_at timestamp with time zone DEFAULT public.airlock_now() NOT NULL,
    last_seen_at timestamp with time zone DEFAULT public.airlock_now() NOT NULL,
    drain_requested boolean DEFAULT false NOT NULL,
    capabilities text[] DEFAULT '{}'::text[] NOT NULL,
    cpu_millis bigint,
    memory_bytes bigint,
    disk_bytes bigint,
    process text DEFAULT ''::text NOT NULL,
    paused boolean
);
CREATE TABLE public.job_tokens (
    token_sha256 bytea NOT NULL,
    job bigint NOT NULL,
    attempt integer NOT NULL,
    queue text NOT NULL,
    repository text,
    executor text NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.jobs (
    id bigint NOT NULL,
    queue text NOT NULL,
    priority integer DEFAULT 0 NOT NULL,
    state text DEFAULT 'queued'::text NOT NULL,
    spec jsonb NOT NULL,
    labels jsonb DEFAULT '{}'::jsonb NOT NULL,
    repository text,
    revision text NOT NULL,
    commit text,
    attempt integer DEFAULT 0 NOT NULL,
    errors integer DEFAULT 0 NOT NULL,
    cancel_requested boolean DEFAULT false NOT NULL,
    visible_at timestamp with time zone DEFAULT public.airlock_now() NOT NULL,
    lease_expires_at timestamp with time zone,
    executor text,
    failure_reason text,
    failure_message text,
    exit_code integer,
    queued_at timestamp with time zone DEFAULT public.airlock_now() NOT NULL,
    started_at timestamp with time zone,
    finished_at timestamp with time zone,
    idempotency_key text,
    idempotency_sha256 bytea,
    losses integer DEFAULT 0 NOT NULL,
    namespace text DEFAULT 'default'::text NOT NULL,
    cpu_millis bigint,
    memory_bytes bigint,
    disk_bytes bigint,
    turn bigint DEFAULT 0 NOT NULL,
    warnings text[] DEFAULT '{}'::text[] NOT NULL,
    needs jsonb DEFAULT '[]'::jsonb NOT NULL,
    lane uuid GENERATED ALWAYS AS ((md5(((((((((((namespace || ' '::text) || (labels)::text) || ' '::text) || COALESCE((cpu_millis)::text, '-'::text)) || ' '::text) || COALESCE((memory_bytes)::text, '-'::text)) || ' '::text) || COALESCE((disk_bytes)::text, '-'::text)) || ' '::text) || (needs)::text)))::uuid) STORED NOT NULL,
    CONSTRAINT jobs_check CHECK (((state = 'processing'::text) = (lease_expires_at IS NOT NULL))),
    CONSTRAINT jobs_check1 CHECK (((state = ANY (ARRAY['queued'::text, 'processing'::text])) = (finished_at IS NULL))),
    CONSTRAINT jobs_state_check CHECK ((state = ANY (ARRAY['queued'::text, 'processing'::text, 'completed'::text, 'errored'::text, 'failed'::text, 'canceled'::text])))
)
WITH (fillfactor='80', autovacuum_vacuum_scale_factor='0.02', autovacuum_vacuum_threshold='500');
ALTER TABLE public.jobs ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.jobs_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.log_chunks (
    job bigint NOT NULL,
    attempt integer NOT NULL,
    entry_id integer NOT NULL,
    "offset" bigint NOT NULL,
    stream text NOT NULL,
    bytes bytea NOT NULL,
    received_at timestamp with time zone DEFAULT now(),
    CONSTRAINT log_chunks_stream_check CHECK ((stream = ANY (ARRAY['stdout'::text, 'stderr'::text])))
);
ALTER TABLE ONLY public.log_chunks ALTER COLUMN bytes SET STORAGE EXTERNAL;
CREATE TABLE public.log_entries (
    job bigint NOT NULL,
    attempt integer NOT NULL,
    entry_id integer NOT NULL,
    key text NOT NULL,
    command jsonb NOT NULL,
    started_at timestamp with time zone NOT NULL,
    exit_code integer,
    duration_ms bigint,
    length bigint DEFAULT 0 NOT NULL,
    stored_length bigint DEFAULT 0 NOT NULL,
    notes integer DEFAULT 0 NOT NULL
);
CREATE TABLE public.log_notes (
    job bigint NOT NULL,
    attempt integer NOT NULL,
    entry_id integer NOT NULL,
    note_id integer NOT NULL,
    "offset" bigint NOT NULL,
    note text NOT NULL
);
CREATE TABLE public.queues (
    name text NOT NULL,
    max_attempts integer DEFAULT 3 NOT NULL,
    backoff_ms integer DEFAULT 5000 NOT NULL,
    backoff_max_ms integer DEFAULT 300000 NOT NULL,
    lease_ms integer DEFAULT 15000 NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    max_losses integer DEFAULT 3 NOT NULL,
    heartbeat_interval_ms integer DEFAULT 5000 NOT NULL,
    concurrency_limit integer,
    namespace_concurrency_limit integer,
    weight integer DEFAULT 1 NOT NULL,
    max_log_bytes bigint DEFAULT 268435456 NOT NULL,
    allow_unenforced boolean DEFAULT false NOT NULL,
    max_wait_ms bigint,
    CONSTRAINT queues_backoff_max_ms_check CHECK ((backoff_max_ms >= 0)),
    CONSTRAINT queues_backoff_ms_check CHECK ((backoff_ms >= 0)),
    CONSTRAINT queues_concurrency_limit_check CHECK ((concurrency_limit >= 1)),
    CONSTRAINT queues_heartbeat_interval_ms_check CHECK ((heartbeat_interval_ms > 0)),
    CONSTRAINT queues_lease_ms_check CHECK ((lease_ms > 0)),
    CONSTRAINT queues_max_attempts_check CHECK ((max_attempts >= 1)),
    CONSTRAINT queues_max_log_bytes_check CHECK ((max_log_bytes >= 1)),
    CONSTRAINT queues_max_losses_check CHECK ((max_losses >= 1)),
    CONSTRAINT queues_max_wait_ms_check CHECK ((max_wait_ms > 0)),
    CONSTRAINT queues_namespace_concurrency_limit_check CHECK ((namespace_concurrency_limit >= 1)),
    CONSTRAINT queues_weight_check CHECK (((weight >= 1) AND (weight <= 1000)))
);
CREATE TABLE public.repositories (
    name text NOT NULL,
    url text NOT NULL,
    state text DEFAULT 'cloning'::text NOT NULL,
    error text,
    head text,
    fetched_at timestamp with time zone,
    size_bytes bigint,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    key_id text,
    sealed_url bytea,
    CONSTRAINT repositories_state_check CHECK ((state = ANY (ARRAY['cloning'::text, 'ready'::text, 'failed'::text])))
);
CREATE TABLE public.secret_events (
    id bigint NOT NULL,
    at timestamp with time zone DEFAULT now() NOT NULL,
    action text NOT NULL,
    name text NOT NULL,
    namespace text NOT NULL,
    queue text NOT NULL,
    actor text NOT NULL,
    via text NOT NULL,
    job bigint,
    attempt integer,
    step text,
    CONSTRAINT secret_events_action_check CHECK ((action = ANY (ARRAY['created'::text, 'changed'::text, 'deleted'::text, 'used'::text]))),
    CONSTRAINT secret_events_via_check CHECK ((via = ANY (ARRAY['token'::text, 'session'::text, 'lease'::text])))
);
ALTER TABLE public.secret_events ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.secret_events_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
CREATE TABLE public.secret_keys (
    key_id text NOT NULL,
    registered_at timestamp with time zone DEFAULT now() NOT NULL
);
CREATE TABLE public.secrets (
    id bigint NOT NULL,
    name text NOT NULL,
    namespace text DEFAULT ''::text NOT NULL,
    queue text DEFAULT ''::text NOT NULL,
    description text DEFAULT ''::text NOT NULL,
    key_id text NOT NULL,
    sealed bytea NOT NULL,
    created_at timestamp with time zone DEFAULT now() NOT NULL,
    created_by text NOT NULL,
    updated_at timestamp with time zone DEFAULT now() NOT NULL,
    updated_by text NOT NULL,
    last_used_at timestamp with time zone
);
ALTER TABLE public.secrets ALTER COLUMN id ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.secrets_id_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);
INSERT INTO public.airlock_migrations VALUES
	(1, 'initial', '2026-11-30 20:11:08.914849+00'),
	(2, 'artifacts', '2026-11-30 20:11:09.086421+00'),
	(3, 'scheduling', '2026-11-30 20:11:09.120175+00'),
	(4, 'uploads', '2026-11-30 20:11:09.224865+00'),
	(5, 'secrets', '2026-11-30 20:11:09.259564+00'),
	(6, 'operations', '2026-11-30 20:11:09.343771+00'),
	(7, 'namespaces', '2026-11-30 20:11:09.390469+00'),
	(8, 'ended-sessions', '2026-11-30 20:11:09.399818+00'),
	(9, 'executor-processes', '2026-11-30 20:11:09.404593+00'),
	(10, 'job-warnings', '2026-11-30 20:11:09.405208+00'),
	(11, 'log-notes', '2026-11-30 20:11:09.405699+00'),
	(12, 'executor-pauses', '2026-11-30 20:11:09.418938+00'),
	(13, 'job-needs', '2026-11-30 20:11:09.41934+00'),
	(14, 'maximum-waits', '2026-11-30 20:11:09.485855+00'),
	(15, 'storage-quotas', '2026-11-30 20:11:09.48736+00'),
	(16, 'uploads-of-jobs', '2026-11-30 20:11:09.510129+00'),
	(17, 'job-filters', '2026-11-30 20:11:09.523578+00'),
	(18, 'log-times', '2026-11-30 20:11:09.527592+00');
INSERT INTO public.attempts VALUES
	(1, 1, 'old', 'completed', '2026-11-30 20:11:11.24489+00', '2026-11-30 20:11:11.522528+00', NULL, NULL, 0, NULL);
INSERT INTO public.executors VALUES
	('old', '{batches}', false, '6.0.0', '', '', '', '', '', '', NULL, '{}', false, '2026-11-30 20:11:11.880149+00', '2026-11-30 20:11:11.880149+00', false, '{}', NULL, NULL, NULL, '', NULL);
INSERT INTO public.job_tokens VALUES
	('\xd3e8287cb2b9efa12d2f88967180b1cb96b28eb6837bc206430209616f578da6', 1, 1, 'batches', 'app', 'old', '2026-11-30 20:11:11.24489+00');
INSERT INTO public.jobs OVERRIDING SYSTEM VALUE VALUES
	(1, 'batches', 0, 'completed', '{"diff": false, "files": {}, "queue": "batches", "steps": [{"dir": "", "env": {}, "key": "main", "run": "true", "image": "alpine", "secrets": [{"file": false, "name": "TOKEN"}]}], "labels": {}, "upload": false, "outputs": [], "priority": 0, "revision": "HEAD", "namespace": "team-a", "resources": {}, "repository": "app"}', '{}', 'app', 'HEAD', 'f1f93035c17faf59d21725c805b4bff53607ccd2', 1, 0, false, '2026-11-30 20:11:11.020252+00', NULL, 'old', NULL, NULL, 0, '2026-11-30 20:11:11.020252+00', '2026-11-30 20:11:11.24489+00', '2026-11-30 20:11:11.522528+00', NULL, NULL, 0, 'team-a', NULL, NULL, NULL, 0, '{}', '[]', DEFAULT),
	(2, 'default', 0, 'queued', '{"diff": false, "files": {}, "queue": "default", "steps": [{"dir": "", "env": {}, "key": "main", "run": "true", "image": "alpine", "secrets": []}], "labels": {}, "upload": false, "outputs": [], "priority": 0, "revision": "HEAD", "namespace": "default", "resources": {}}', '{}', NULL, 'HEAD', NULL, 0, 0, false, '2026-11-30 20:11:11.595696+00', NULL, NULL, NULL, NULL, NULL, '2026-11-30 20:11:11.595696+00', NULL, NULL, NULL, NULL, 0, 'default', NULL, NULL, NULL, 0, '{}', '[]', DEFAULT),
	(3, 'default', 0, 'queued', '{"diff": false, "files": {}, "queue": "default", "steps": [{"dir": "", "env": {}, "key": "main", "run": "true", "image": "alpine", "secrets": []}], "labels": {}, "upload": false, "outputs": [], "priority": 0, "revision": "HEAD", "namespace": "admin", "resources": {}}', '{}', NULL, 'HEAD', NULL, 0, 0, false, '2026-11-30 20:11:11.629139+00', NULL, NULL, NULL, NULL, NULL, '2026-11-30 20:11:11.629139+00', NULL, NULL, NULL, NULL, 0, 'admin', NULL, NULL, NULL, 0, '{}', '[]', DEFAULT),
	(4, 'default', 0, 'queued', '{"diff": false, "files": {}, "queue": "default", "steps": [{"dir": "", "env": {}, "key": "main", "run": "true", "image": "alpine", "secrets": []}], "labels": {}, "upload": false, "outputs": [], "priority": 0, "revision": "HEAD", "namespace": "team1", "resources": {}}', '{}', NULL, 'HEAD', NULL, 0, 0, false, '2026-11-30 20:11:11.659945+00', NULL, NULL, NULL, NULL, NULL, '2026-11-30 20:11:11.659945+00', NULL, NULL, NULL, NULL, 0, 'team1', NULL, NULL, NULL, 0, '{}', '[]', DEFAULT),
	(5, 'default', 0, 'queued', '{"diff": false, "files": {}, "queue": "default", "steps": [{"dir": "", "env": {}, "key": "main", "run": "true", "image": "alpine", "secrets": []}], "labels": {}, "upload": false, "outputs": [], "priority": 0, "revision": "HEAD", "namespace": "teaml", "resources": {}}', '{}', NULL, 'HEAD', NULL, 0, 0, false, '2026-11-30 20:11:11.802494+00', NULL, NULL, NULL, NULL, NULL, '2026-11-30 20:11:11.802494+00', NULL, NULL, NULL, NULL, 0, 'teaml', NULL, NULL, NULL, 0, '{}', '[]', DEFAULT);
INSERT INTO public.log_chunks VALUES
	(1, 1, 1, 0, 'stdout', '\x61206c696e65206f66207465616d2d610a', '2026-11-30 20:11:11.36146+00');
INSERT INTO public.log_entries VALUES
	(1, 1, 1, 'step.docker.main', '["sh"]', '2026-01-01 00:00:00+00', 0, 5, 17, 17, 0);
INSERT INTO public.queues VALUES
	('default', 3, 5000, 300000, 15000, '2026-11-30 20:11:08.914849+00', 3, 5000, NULL, NULL, 1, 268435456, false, NULL),
	('batches', 3, 5000, 300000, 15000, '2026-11-30 20:11:08.914849+00', 3, 5000, NULL, NULL, 1, 268435456, false, NULL),
	('codeintel', 3, 5000, 300000, 15000, '2026-11-30 20:11:08.914849+00', 3, 5000, NULL, NULL, 1, 268435456, false, NULL);
INSERT INTO public.repositories VALUES
	('unused', '/srv/git/unused.git', 'ready', NULL, '97731fe5906a1ec242197ffeb3dcb90f8efbcee0', '2026-11-30 20:11:10.672288+00', 28672, '2026-11-30 20:11:10.466704+00', NULL, NULL),
	('app', '/srv/git/app.git', 'ready', NULL, 'f1f93035c17faf59d21725c805b4bff53607ccd2', '2026-11-30 20:11:10.980969+00', 28672, '2026-11-30 20:11:10.145945+00', NULL, NULL);
INSERT INTO public.secret_events OVERRIDING SYSTEM VALUE VALUES
	(1, '2026-11-30 20:11:10.677791+00', 'created', 'TOKEN', 'team-a', '', 'administrator', 'token', NULL, NULL, NULL),
	(2, '2026-11-30 20:11:10.683031+00', 'created', 'TOKEN', 'team-b', '', 'administrator', 'token', NULL, NULL, NULL),
	(3, '2026-11-30 20:11:10.698461+00', 'created', 'TOKEN', '', '', 'administrator', 'token', NULL, NULL, NULL),
	(4, '2026-11-30 20:11:11.261435+00', 'used', 'TOKEN', 'team-a', '', 'old', 'lease', 1, 1, 'main');
INSERT INTO public.secret_keys VALUES
	('a9c5d2169de9a61a', '2026-11-30 20:11:09.533518+00');
INSERT INTO public.secrets OVERRIDING SYSTEM VALUE VALUES
	(2, 'TOKEN', 'team-b', '', '', 'a9c5d2169de9a61a', '\x01a9c5d2169de9a61a4828520f1e37fd5635021ebd322e017cf6f3b2fc9ad659e90e7a852eb014e94f0fc3b670b805a06f372fa23869789c2e4c6ae366251cdd83fb2196cd706bc29d607ca746f0eab943cc350f8563edb36115ec289b905545cefafe2c4375b46b221e426470009e5dfb', '2026-11-30 20:11:10.683031+00', 'administrator', '2026-11-30 20:11:10.683031+00', 'administrator', NULL),
	(3, 'TOKEN', '', '', '', 'a9c5d2169de9a61a', '\x01a9c5d2169de9a61a47b517373a53971151a132a2dd90e04463e7e02e94e5c8f2b8317bae4d9b1f353d1485c6f639a1b3bcfbf0c95be57f48403e6345f0632ddd474ed37dfe52827fa78844c05c03e34cbd8e6b5504ef84521ffc2b1cdff7eeeac1c2f2183b811c45aa3f219853', '2026-11-30 20:11:10.698461+00', 'administrator', '2026-11-30 20:11:10.698461+00', 'administrator', NULL),
	(1, 'TOKEN', 'team-a', '', '', 'a9c5d2169de9a61a', '\x01a9c5d2169de9a61a5666ef8f33935290d182d45b0b85131d3e6a81ef441734205fd4b4d8cdf791dfee91417bbbf513f9487a0864002ac6c9cc289ab8f8b93f3eb16a2e11f96626a25d05ecba833befd14868f56c87ec8cb681bcd322b10cc442fa02bb7a89f7926f9ff1680b5939e99c', '2026-11-30 20:11:10.677791+00', 'administrator', '2026-11-30 20:11:10.677791+00', 'administrator', '2026-11-30 20:11:11.262803+00');
SELECT pg_catalog.setval('public.artifacts_id_seq', 1, false);
SELECT pg_catalog.setval('public.code_intel_uploads_id_seq', 1, false);
SELECT pg_catalog.setval('public.jobs_id_seq', 5, true);
SELECT pg_catalog.setval('public.secret_events_id_seq', 4, true);
SELECT pg_catalog.setval('public.secrets_id_seq', 3, true);
ALTER TABLE ONLY public.airlock_migrations
    ADD CONSTRAINT airlock_migrations_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_blob_key UNIQUE (blob);
ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_job_attempt_name_key UNIQUE (job, attempt, name);
ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_pkey PRIMARY KEY (job, attempt);
ALTER TABLE ONLY public.blob_garbage
    ADD CONSTRAINT blob_garbage_pkey PRIMARY KEY (blob);
ALTER TABLE ONLY public.code_intel_upload_parts
    ADD CONSTRAINT code_intel_upload_parts_blob_key UNIQUE (blob);
ALTER TABLE ONLY public.code_intel_upload_parts
    ADD CONSTRAINT code_intel_upload_parts_pkey PRIMARY KEY (upload, part);
ALTER TABLE ONLY public.code_intel_uploads
    ADD CONSTRAINT code_intel_uploads_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.ended_sessions
    ADD CONSTRAINT ended_sessions_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.executor_metrics
    ADD CONSTRAINT executor_metrics_pkey PRIMARY KEY (executor);
ALTER TABLE ONLY public.executors
    ADD CONSTRAINT executors_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.job_tokens
    ADD CONSTRAINT job_tokens_pkey PRIMARY KEY (token_sha256);
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.log_chunks
    ADD CONSTRAINT log_chunks_pkey PRIMARY KEY (job, attempt, entry_id, "offset");
ALTER TABLE ONLY public.log_entries
    ADD CONSTRAINT log_entries_pkey PRIMARY KEY (job, attempt, entry_id);
ALTER TABLE ONLY public.log_notes
    ADD CONSTRAINT log_notes_pkey PRIMARY KEY (job, attempt, entry_id, note_id);
ALTER TABLE ONLY public.queues
    ADD CONSTRAINT queues_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.repositories
    ADD CONSTRAINT repositories_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.secret_events
    ADD CONSTRAINT secret_events_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.secret_keys
    ADD CONSTRAINT secret_keys_pkey PRIMARY KEY (key_id);
ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_name_namespace_queue_key UNIQUE (name, namespace, queue);
ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (id);
CREATE INDEX artifacts_bytes ON public.artifacts USING btree (bytes);
CREATE INDEX artifacts_created_at ON public.artifacts USING brin (created_at) WITH (pages_per_range='16', autosummarize='on');
CREATE INDEX attempts_started_at ON public.attempts USING brin (started_at) WITH (pages_per_range='16', autosummarize='on');
CREATE INDEX blob_garbage_due_at ON public.blob_garbage USING btree (due_at);
CREATE INDEX code_intel_uploads_finished ON public.code_intel_uploads USING btree (finished_at) WHERE (state = 'uploaded'::text);
CREATE INDEX code_intel_uploads_job ON public.code_intel_uploads USING btree (job) WHERE (job IS NOT NULL);
CREATE INDEX code_intel_uploads_open ON public.code_intel_uploads USING btree (created_at) WHERE (state = 'uploading'::text);
CREATE INDEX code_intel_uploads_repository ON public.code_intel_uploads USING btree (repository, commit);
CREATE INDEX executors_last_seen_at ON public.executors USING btree (last_seen_at);
CREATE INDEX job_tokens_job ON public.job_tokens USING btree (job);
CREATE INDEX jobs_dequeue ON public.jobs USING btree (queue, lane, priority DESC, turn, id) WHERE (state = 'queued'::text);
CREATE INDEX jobs_ended_badly ON public.jobs USING btree (state, id DESC) WHERE (state = ANY (ARRAY['errored'::text, 'failed'::text, 'canceled'::text]));
CREATE INDEX jobs_executor ON public.jobs USING btree (executor) WHERE (state = 'processing'::text);
CREATE INDEX jobs_finished_at ON public.jobs USING brin (finished_at) WITH (pages_per_range='16', autosummarize='on');
CREATE UNIQUE INDEX jobs_idempotency_key ON public.jobs USING btree (idempotency_key) WHERE (idempotency_key IS NOT NULL);
CREATE INDEX jobs_labels ON public.jobs USING gin (labels jsonb_path_ops) WHERE (labels <> '{}'::jsonb);
CREATE INDEX jobs_lease ON public.jobs USING btree (lease_expires_at) WHERE (state = 'processing'::text);
CREATE INDEX jobs_namespace ON public.jobs USING btree (namespace, id DESC) WHERE (namespace <> 'default'::text);
CREATE INDEX jobs_namespace_turn ON public.jobs USING btree (queue, namespace, priority, turn) WHERE (state = 'queued'::text);
CREATE INDEX jobs_queue ON public.jobs USING btree (queue, id DESC);
CREATE INDEX jobs_queued_at ON public.jobs USING brin (queued_at) WITH (pages_per_range='16', autosummarize='on');
CREATE INDEX jobs_repository ON public.jobs USING btree (repository, id DESC) WHERE (repository IS NOT NULL);
CREATE INDEX jobs_running ON public.jobs USING btree (queue, namespace) WHERE (state = 'processing'::text);
CREATE INDEX jobs_running_turn ON public.jobs USING btree (queue, priority, turn) WHERE (state = 'processing'::text);
CREATE INDEX jobs_turn ON public.jobs USING btree (queue, priority, turn) WHERE (state = 'queued'::text);
CREATE INDEX repositories_url ON public.repositories USING btree (url);
CREATE INDEX secret_events_job ON public.secret_events USING btree (job) WHERE (job IS NOT NULL);
CREATE INDEX secret_events_name ON public.secret_events USING btree (name, id DESC);
CREATE INDEX secret_events_used_at ON public.secret_events USING btree (at) WHERE (action = 'used'::text);
CREATE TRIGGER discard_artifact_blob AFTER DELETE ON public.artifacts FOR EACH ROW EXECUTE FUNCTION public.discard_artifact_blob('artifacts');
CREATE TRIGGER discard_upload_blob AFTER DELETE ON public.code_intel_upload_parts FOR EACH ROW EXECUTE FUNCTION public.discard_artifact_blob('uploads');
ALTER TABLE ONLY public.artifacts
    ADD CONSTRAINT artifacts_job_attempt_fkey FOREIGN KEY (job, attempt) REFERENCES public.attempts(job, attempt) ON DELETE CASCADE;
ALTER TABLE ONLY public.attempts
    ADD CONSTRAINT attempts_job_fkey FOREIGN KEY (job) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.code_intel_upload_parts
    ADD CONSTRAINT code_intel_upload_parts_upload_fkey FOREIGN KEY (upload) REFERENCES public.code_intel_uploads(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.code_intel_uploads
    ADD CONSTRAINT code_intel_uploads_job_fkey FOREIGN KEY (job) REFERENCES public.jobs(id) ON DELETE SET NULL;
ALTER TABLE ONLY public.job_tokens
    ADD CONSTRAINT job_tokens_job_fkey FOREIGN KEY (job) REFERENCES public.jobs(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.jobs
    ADD CONSTRAINT jobs_queue_fkey FOREIGN KEY (queue) REFERENCES public.queues(name);
ALTER TABLE ONLY public.log_entries
    ADD CONSTRAINT log_entries_job_attempt_fkey FOREIGN KEY (job, attempt) REFERENCES public.attempts(job, attempt) ON DELETE CASCADE;
ALTER TABLE ONLY public.log_notes
    ADD CONSTRAINT log_notes_job_attempt_entry_id_fkey FOREIGN KEY (job, attempt, entry_id) REFERENCES public.log_entries(job, attempt, entry_id) ON DELETE CASCADE;
