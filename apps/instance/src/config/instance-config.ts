import { isIP } from "node:net";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { describeIssues } from "@airlock/api";
import { AirlockError, parseBytes, parseDuration } from "@airlock/job";
import { type Proxies, readProxies } from "@airlock/proxy";
import { z } from "zod";
import { userSessionLifetimeMs } from "../accounts/user-sessions.ts";
import type { StorageQuotas } from "../artifacts/storage-quota.ts";
import { checkBlobPrefix } from "../blobs/blob-key.ts";
import type { BlobStorage } from "../blobs/open-blob-store.ts";
import { GroupMapping, isSafeIssuer, type OidcSettings } from "../oidc/oidc-settings.ts";
import type { Retention } from "../queues/retention.ts";
import type { MirrorLimits } from "../repositories/mirror-limits.ts";
import type { KeySource } from "../sealing/open-keyring.ts";

export interface ListenAddress {
  /** IP address or host name; IPv6 without brackets. */
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
}

export interface InstanceConfig {
  readonly listen: ListenAddress;
  readonly dataDirectory: string;
  /** `null`: embedded PostgreSQL in the data directory. */
  readonly databaseUrl: string | null;
  /** `null`: generated once and kept in the data directory. */
  readonly administratorToken: string | null;
  /** The executors' shared secret; `null`: generated once and kept in the data directory. */
  readonly executorToken: string | null;
  /** Source of the keys that encrypt secrets. */
  readonly secretKeys: KeySource;
  /** URL at which people reach the instance, if it differs from the listen address. */
  readonly externalUrl: string | null;
  /** Further names at which browsers may reach the instance: lower case, `*.` before a domain, or `*`. */
  readonly allowedHosts: readonly string[];
  /** Addresses or networks of proxies whose `X-Forwarded-For` names the client. */
  readonly trustedProxies: readonly string[];
  /** Where artifacts are stored. */
  readonly blobStorage: BlobStorage;
  /** Limit for the total size of one attempt's artifacts. */
  readonly maxArtifactBytes: number;
  readonly storageQuotas: StorageQuotas;
  readonly retention: Retention;
  /** How long entries of the audit log are kept; `null`: forever. */
  readonly auditRetentionMs: number | null;
  /** Limits of each repository's mirror. */
  readonly mirrorLimits: MirrorLimits;
  readonly allowLocalRepositories: boolean;
  /** Whether executors can use the shared secret instead of a token of their queue. */
  readonly acceptSharedSecret: boolean;
  /** Accept the shared secret on the routes of single jobs, for executors that don't use job tokens. */
  readonly legacySharedSecret: boolean;
  /** Whether people can sign in with passwords of the instance's own. */
  readonly localAccounts: boolean;
  /** The token with which Prometheus reads the metrics; `null`: none beside the administrator's. */
  readonly metricsToken: string | null;
  /** Whether everyone may read the metrics. By default only programs on the same machine do, without a token. */
  readonly openMetrics: boolean;
  /** How people sign in with a provider; `null`: they can't. */
  readonly openIdConnect: OidcSettings | null;
  /** `HOST` or `HOST:PORT` that webhooks may have whatever its addresses are, and without TLS. */
  readonly webhookHosts: readonly string[];
  readonly logLevel: LogLevel;
  /** Directory of the built web UI. */
  readonly webDirectory: string;
  /** `PATH` of git processes. */
  readonly executablePath: string;
  /** The ways to code hosts and to object storage. */
  readonly proxies: Proxies;
}

const logLevels = ["trace", "debug", "info", "warn", "error", "fatal", "silent"] as const;
type LogLevel = (typeof logLevels)[number];

const Token = z
  .string()
  .min(20, "at least 20 characters")
  .max(1000)
  .regex(/^[\x21-\x7e]+$/, "letters, digits and punctuation, no spaces");

const Flag = z
  .enum(["true", "false", "1", "0", "yes", "no"], { error: "must be true or false" })
  .transform((text) => text === "true" || text === "1" || text === "yes");

const Size = z.string().transform((text, context) => {
  const bytes = parseBytes(text);
  if (bytes === undefined) context.addIssue({ code: "custom", message: `"${text}" is not a size, such as 512M or 2G` });
  return bytes ?? 0;
});

/** 0 becomes `null`: no limit. */
const Quota = Size.transform((bytes) => bytes || null);

/** 100 years. PostgreSQL's calendar begins at 4713 BC, so a much longer period would be out of range. */
const maximumPeriodMs = 36_500 * 86_400_000;

/** 0 becomes `null`: forever. */
const Period = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms === undefined)
    context.addIssue({ code: "custom", message: `"${text}" is not a duration, such as 12h or 30d` });
  else if (ms > maximumPeriodMs)
    context.addIssue({ code: "custom", message: "must be at most 36500d; 0 keeps everything forever" });
  return ms || null;
});

const Listen = z.string().transform((text, context): ListenAddress => {
  const match = /^(?:\[([0-9a-fA-F:.%a-z]+)\]|([^:\s]*)):(\d{1,5})$/.exec(text);
  const port = Number(match?.[3]);
  if (!match || port > 65_535) {
    context.addIssue({ code: "custom", message: `"${text}" is not HOST:PORT, such as 127.0.0.1:7080 or [::1]:7080` });
    return z.NEVER;
  }
  return { host: match[1] ?? (match[2] || "0.0.0.0"), port };
});

const Networks = z.string().transform((text, context) => {
  const networks = text.split(/[\s,]+/).filter((network) => network !== "");
  for (const network of networks) {
    const [address = "", bits] = network.split("/");
    const version = isIP(address);
    const known =
      version !== 0 && (bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (version === 4 ? 32 : 128)));
    if (!known) {
      const message = `"${network}" is not an IP address or a network, such as 10.1.2.3 or 10.1.0.0/16`;
      context.addIssue({ code: "custom", message });
    }
  }
  return networks;
});

const HostNames = z.string().transform((text, context) => {
  const names = text
    .toLowerCase()
    .split(/[\s,]+/)
    .filter((name) => name !== "");
  for (const name of names) {
    if (/^(?:\*|(?:\*\.)?(?:[a-z0-9_-]+\.)*[a-z0-9_-]+)$/.test(name)) continue;
    context.addIssue({
      code: "custom",
      message: `"${name}" is not a host name, such as airlock.example.com or *.example.com (without scheme and port)`,
    });
  }
  return names;
});

const Environment = z.object({
  AIRLOCK_LISTEN: Listen.prefault("127.0.0.1:7080"),
  AIRLOCK_DATA_DIR: z.string().min(1).default(".airlock"),
  AIRLOCK_DATABASE_URL: z
    .string()
    .regex(/^postgres(?:ql)?:\/\//, "must start with postgres://")
    .nullable()
    .default(null),
  AIRLOCK_TOKEN: Token.nullable().default(null),
  AIRLOCK_EXECUTOR_TOKEN: Token.nullable().default(null),
  AIRLOCK_SECRET_KEY: z.string().optional(),
  AIRLOCK_SECRET_KEY_FILE: z.string().optional(),
  AIRLOCK_EXTERNAL_URL: z
    .url({ protocol: /^https?$/, error: "must be an http or https URL" })
    .nullable()
    .default(null),
  AIRLOCK_ALLOWED_HOSTS: HostNames.prefault(""),
  AIRLOCK_TRUSTED_PROXIES: Networks.prefault(""),
  AIRLOCK_MAX_ARTIFACT_SIZE: Size.prefault("2G"),
  AIRLOCK_ARTIFACT_QUOTA: Quota.prefault("100G"),
  AIRLOCK_ARTIFACT_NAMESPACE_QUOTA: Quota.prefault("0"),
  AIRLOCK_ARTIFACT_RETENTION: Period.prefault("30d"),
  AIRLOCK_UPLOAD_QUOTA: Quota.prefault("20G"),
  AIRLOCK_UPLOAD_REPOSITORY_QUOTA: Quota.prefault("5G"),
  AIRLOCK_UPLOAD_RETENTION: Period.prefault("30d"),
  AIRLOCK_JOB_RETENTION: Period.prefault("90d"),
  AIRLOCK_AUDIT_RETENTION: Period.prefault("365d"),
  AIRLOCK_MAXIMUM_REPOSITORY_SIZE: Size.prefault("10Gi"),
  AIRLOCK_MAXIMUM_REPOSITORY_OBJECTS: z.coerce
    .number()
    .int()
    .min(1)
    .max(2 ** 31)
    .default(20_000_000),
  AIRLOCK_S3_ENDPOINT: z
    .url({ protocol: /^https?$/, error: "must be an http or https URL" })
    .nullable()
    .default(null),
  AIRLOCK_S3_REGION: z.string().default("us-east-1"),
  AIRLOCK_S3_BUCKET: z
    .string()
    .regex(/^[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]$/, "is not the name of a bucket")
    .optional(),
  AIRLOCK_S3_PREFIX: z.string().default("").refine(isBlobPrefix, "must be lower-case segments that end with /"),
  AIRLOCK_S3_ACCESS_KEY_ID: z.string().optional(),
  AIRLOCK_S3_SECRET_ACCESS_KEY: z.string().optional(),
  AIRLOCK_S3_FORCE_PATH_STYLE: Flag.default(false),
  AIRLOCK_ALLOW_LOCAL_REPOSITORIES: Flag.default(false),
  AIRLOCK_SHARED_SECRET: Flag.default(true),
  AIRLOCK_LEGACY_SHARED_SECRET: Flag.default(false),
  AIRLOCK_LOCAL_ACCOUNTS: Flag.default(true),
  AIRLOCK_METRICS_TOKEN: Token.nullable().default(null),
  AIRLOCK_METRICS_OPEN: Flag.default(false),
  AIRLOCK_OIDC_ISSUER: z
    .string()
    .refine(isSafeIssuer, "must be an https URL, or an http URL of this machine, without a query")
    .optional(),
  AIRLOCK_OIDC_CLIENT_ID: z.string().optional(),
  AIRLOCK_OIDC_CLIENT_SECRET: z.string().optional(),
  AIRLOCK_OIDC_LABEL: z.string().max(100).optional(),
  AIRLOCK_OIDC_SCOPES: z
    .string()
    .refine((text) => text.split(" ").includes("openid"), 'must contain "openid"')
    .default("openid profile"),
  AIRLOCK_OIDC_NAME_CLAIM: z.string().default("preferred_username"),
  AIRLOCK_OIDC_GROUPS_CLAIM: z.string().default("groups"),
  AIRLOCK_OIDC_GROUPS: GroupMapping.prefault(""),
  AIRLOCK_OIDC_CREATE_USERS: Flag.default(true),
  AIRLOCK_OIDC_SESSION: Period.prefault("1d"),
  AIRLOCK_WEBHOOK_HOSTS: z
    .string()
    .default("")
    .transform((text) =>
      text
        .toLowerCase()
        .split(",")
        .flatMap((part) => part.trim() || []),
    )
    .refine(
      (hosts) => hosts.every((host) => URL.canParse(`http://${host}`) && !/[/@?#]/.test(host)),
      "must be hosts such as ci.internal or 127.0.0.1:9000, separated by commas",
    ),
  AIRLOCK_LOG_LEVEL: z.enum(logLevels).default("info"),
  AIRLOCK_WEB_DIR: z.string().min(1).nullable().default(null),
  PATH: z.string().default("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"),
});

function isBlobPrefix(text: string): boolean {
  try {
    if (text !== "") checkBlobPrefix(text);
    return true;
  } catch {
    return false;
  }
}

/** The bucket and its keys belong together. A partial configuration is an error, not a fallback to a directory. */
function blobStorage(e: z.output<typeof Environment>): BlobStorage {
  const given = {
    AIRLOCK_S3_BUCKET: e.AIRLOCK_S3_BUCKET,
    AIRLOCK_S3_ACCESS_KEY_ID: e.AIRLOCK_S3_ACCESS_KEY_ID,
    AIRLOCK_S3_SECRET_ACCESS_KEY: e.AIRLOCK_S3_SECRET_ACCESS_KEY,
  };
  const { AIRLOCK_S3_BUCKET: bucket, AIRLOCK_S3_ACCESS_KEY_ID: id, AIRLOCK_S3_SECRET_ACCESS_KEY: secret } = given;
  if (bucket === undefined && id === undefined && secret === undefined && e.AIRLOCK_S3_ENDPOINT === null) return null;
  if (bucket === undefined || id === undefined || secret === undefined) {
    const missing = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [name] : []));
    throw new AirlockError(`invalid setting: ${missing.join(", ")} not set`, {
      code: "invalid-configuration",
      hint: "Object storage needs a bucket, an access key and its secret. If none of them is set, blobs are stored in the data directory.",
    });
  }
  return {
    endpoint: e.AIRLOCK_S3_ENDPOINT,
    region: e.AIRLOCK_S3_REGION,
    bucket,
    prefix: e.AIRLOCK_S3_PREFIX,
    accessKeyId: id,
    secretAccessKey: secret,
    forcePathStyle: e.AIRLOCK_S3_FORCE_PATH_STYLE,
  };
}

/** A partial configuration is an error. Otherwise nobody would learn why a setting has no effect. */
function openIdConnect(e: z.output<typeof Environment>): OidcSettings | null {
  const given = {
    AIRLOCK_OIDC_ISSUER: e.AIRLOCK_OIDC_ISSUER,
    AIRLOCK_OIDC_CLIENT_ID: e.AIRLOCK_OIDC_CLIENT_ID,
    AIRLOCK_OIDC_CLIENT_SECRET: e.AIRLOCK_OIDC_CLIENT_SECRET,
    AIRLOCK_EXTERNAL_URL: e.AIRLOCK_EXTERNAL_URL ?? undefined,
  };
  const { AIRLOCK_OIDC_ISSUER: issuer, AIRLOCK_OIDC_CLIENT_ID: clientId } = given;
  const { AIRLOCK_OIDC_CLIENT_SECRET: clientSecret, AIRLOCK_EXTERNAL_URL: externalUrl } = given;
  if (issuer === undefined && clientId === undefined && clientSecret === undefined) return null;
  if (issuer === undefined || clientId === undefined || clientSecret === undefined || externalUrl === undefined) {
    const missing = Object.entries(given).flatMap(([name, value]) => (value === undefined ? [name] : []));
    throw new AirlockError(`invalid setting: ${missing.join(", ")} not set`, {
      code: "invalid-configuration",
      hint: "OpenID Connect needs an issuer, a client id and its secret, and the address of this instance.",
    });
  }
  return {
    issuer,
    clientId,
    clientSecret,
    redirectUri: new URL("/api/v1/sign-in/oidc/callback", externalUrl).href,
    label: e.AIRLOCK_OIDC_LABEL ?? new URL(issuer).hostname,
    scopes: e.AIRLOCK_OIDC_SCOPES,
    nameClaim: e.AIRLOCK_OIDC_NAME_CLAIM,
    groupsClaim: e.AIRLOCK_OIDC_GROUPS_CLAIM,
    groups: e.AIRLOCK_OIDC_GROUPS,
    createUsers: e.AIRLOCK_OIDC_CREATE_USERS,
    sessionMs: Math.min(e.AIRLOCK_OIDC_SESSION ?? userSessionLifetimeMs, userSessionLifetimeMs),
  };
}

function keySource(e: z.output<typeof Environment>): KeySource {
  if (e.AIRLOCK_SECRET_KEY !== undefined && e.AIRLOCK_SECRET_KEY_FILE !== undefined) {
    throw new AirlockError("invalid setting: AIRLOCK_SECRET_KEY and AIRLOCK_SECRET_KEY_FILE are both set", {
      code: "invalid-configuration",
      hint: "Set only one of them. The file can hold several keys.",
    });
  }
  if (e.AIRLOCK_SECRET_KEY !== undefined) return { kind: "text", text: e.AIRLOCK_SECRET_KEY };
  if (e.AIRLOCK_SECRET_KEY_FILE === undefined) return null;
  return { kind: "file", file: path.resolve(e.AIRLOCK_SECRET_KEY_FILE) };
}

/** Names of the environment variables that configure the instance, in the order of the documentation. */
export const settingNames = Object.keys(Environment.shape).filter((name) => name.startsWith("AIRLOCK_"));

/** Flags win over the environment; an empty variable counts as not set. */
export interface ConfigFlags {
  readonly listen?: string | undefined;
  readonly dataDirectory?: string | undefined;
}

/** @throws {AirlockError} `invalid-configuration`, one line per wrong setting. */
export function parseConfig(env: Readonly<Record<string, string | undefined>>, flags: ConfigFlags): InstanceConfig {
  const given = Object.fromEntries(Object.entries(env).filter(([, value]) => value !== undefined && value !== ""));
  if (flags.listen !== undefined) given.AIRLOCK_LISTEN = flags.listen;
  if (flags.dataDirectory !== undefined) given.AIRLOCK_DATA_DIR = flags.dataDirectory;
  const parsed = Environment.safeParse(given);
  if (!parsed.success) {
    throw new AirlockError(`invalid setting: ${describeIssues(parsed.error).join("; ")}`, {
      code: "invalid-configuration",
      hint: "Correct the environment variable (--listen and --data-dir override theirs).",
    });
  }
  const e = parsed.data;
  if (e.AIRLOCK_LEGACY_SHARED_SECRET && !e.AIRLOCK_SHARED_SECRET) {
    throw new AirlockError("invalid setting: AIRLOCK_LEGACY_SHARED_SECRET is on, but AIRLOCK_SHARED_SECRET is off", {
      code: "invalid-configuration",
      hint: "Executors that need the first also need the second. Turn both on or both off.",
    });
  }
  const oidc = openIdConnect(e);
  if (!e.AIRLOCK_LOCAL_ACCOUNTS && oidc === null) {
    throw new AirlockError("invalid setting: AIRLOCK_LOCAL_ACCOUNTS is off, but AIRLOCK_OIDC_ISSUER is not set", {
      code: "invalid-configuration",
      hint: "Without both, nobody could sign in. Set up a provider, or turn local accounts on.",
    });
  }
  return {
    listen: e.AIRLOCK_LISTEN,
    dataDirectory: path.resolve(e.AIRLOCK_DATA_DIR),
    databaseUrl: e.AIRLOCK_DATABASE_URL,
    administratorToken: e.AIRLOCK_TOKEN,
    executorToken: e.AIRLOCK_EXECUTOR_TOKEN,
    secretKeys: keySource(e),
    externalUrl: e.AIRLOCK_EXTERNAL_URL,
    allowedHosts: e.AIRLOCK_ALLOWED_HOSTS,
    trustedProxies: e.AIRLOCK_TRUSTED_PROXIES,
    blobStorage: blobStorage(e),
    maxArtifactBytes: e.AIRLOCK_MAX_ARTIFACT_SIZE,
    storageQuotas: {
      artifacts: { totalBytes: e.AIRLOCK_ARTIFACT_QUOTA, ownerBytes: e.AIRLOCK_ARTIFACT_NAMESPACE_QUOTA },
      uploads: { totalBytes: e.AIRLOCK_UPLOAD_QUOTA, ownerBytes: e.AIRLOCK_UPLOAD_REPOSITORY_QUOTA },
    },
    retention: {
      jobsMs: e.AIRLOCK_JOB_RETENTION,
      artifactsMs: e.AIRLOCK_ARTIFACT_RETENTION,
      uploadsMs: e.AIRLOCK_UPLOAD_RETENTION,
    },
    auditRetentionMs: e.AIRLOCK_AUDIT_RETENTION,
    mirrorLimits: { maxBytes: e.AIRLOCK_MAXIMUM_REPOSITORY_SIZE, maxObjects: e.AIRLOCK_MAXIMUM_REPOSITORY_OBJECTS },
    allowLocalRepositories: e.AIRLOCK_ALLOW_LOCAL_REPOSITORIES,
    acceptSharedSecret: e.AIRLOCK_SHARED_SECRET,
    legacySharedSecret: e.AIRLOCK_LEGACY_SHARED_SECRET,
    localAccounts: e.AIRLOCK_LOCAL_ACCOUNTS,
    metricsToken: e.AIRLOCK_METRICS_TOKEN,
    openMetrics: e.AIRLOCK_METRICS_OPEN,
    openIdConnect: oidc,
    webhookHosts: e.AIRLOCK_WEBHOOK_HOSTS,
    logLevel: e.AIRLOCK_LOG_LEVEL,
    webDirectory: e.AIRLOCK_WEB_DIR === null ? defaultWebDirectory() : path.resolve(e.AIRLOCK_WEB_DIR),
    executablePath: e.PATH,
    proxies: readProxies(given),
  };
}

/** Built from sources, the UI is in its own workspace. With a bundle, it ships as `web/`. */
function defaultWebDirectory(): string {
  const fromSources = import.meta.url.endsWith(".ts");
  return fileURLToPath(new URL(fromSources ? "../../../web/dist" : "./web", import.meta.url));
}
