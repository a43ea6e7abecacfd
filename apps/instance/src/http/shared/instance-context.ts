import type { Logger } from "pino";
import type { KnownNamespaces } from "../../accounts/namespaces.ts";
import type { BlobStore } from "../../blobs/blob-store.ts";
import type { InstanceConfig } from "../../config/instance-config.ts";
import type { Dispatcher } from "../../dispatch/dispatcher.ts";
import type { Metrics } from "../../metrics/metrics.ts";
import type { OidcClient } from "../../oidc/oidc-client.ts";
import type { RepositoryService } from "../../repositories/repository-service.ts";
import type { Sealer } from "../../sealing/sealer.ts";
import type { Database } from "../../store/database.ts";
import type { Notifications } from "../../store/notifications.ts";
import type { RefusalLog } from "./refusal-log.ts";

/** Dependencies of the HTTP routes. */
export interface InstanceContext {
  readonly config: InstanceConfig;
  readonly version: string;
  readonly logger: Logger;
  readonly db: Database;
  readonly namespaces: KnownNamespaces;
  /** Puts refused requests into the audit log. */
  readonly refusals: RefusalLog;
  readonly blobs: BlobStore;
  readonly notifications: Notifications;
  readonly dispatcher: Dispatcher;
  readonly repositories: RepositoryService;
  readonly metrics: Metrics;
  /** Encrypts secrets and whatever else must not be readable in the database. */
  readonly sealer: Sealer;
  /** Signs people in with a provider; `null`: the instance has none. */
  readonly oidc: OidcClient | null;
  readonly administratorToken: string;
  /** The secret that all executors share; `null`: it is switched off. */
  readonly sharedSecret: string | null;
  /** Aborted when the instance stops, which ends long polls and streams. */
  readonly stopping: AbortSignal;
}
