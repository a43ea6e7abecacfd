import type { Migration } from "./index.ts";

export const idempotencyKeys: Migration = {
  id: 31,
  name: "idempotency-keys",
  sql: `
-- Requests with an Idempotency-Key, and their answers, for a day. Jobs keep their own keys.
create table idempotency_keys (
  -- Hash of the sender, the route and the key.
  key_sha256 bytea primary key,
  request_sha256 bytea not null,
  created_at timestamptz not null default airlock_now(),
  -- Until then, another request with this key has to wait; after a crash, it may try again.
  lease_expires_at timestamptz not null,
  -- null: the request has no answer yet.
  status integer,
  -- Encrypted, because answers have tokens.
  sealed bytea
);
create index idempotency_keys_created on idempotency_keys (created_at);
`,
};
