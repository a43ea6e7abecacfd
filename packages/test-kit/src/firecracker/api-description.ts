// The parts of Firecracker's published API description (1.17) that the stand-in enforces.

export type Field = { readonly required?: boolean } & (
  | { readonly type: "string"; readonly values?: readonly string[] }
  | { readonly type: "integer"; readonly min?: number; readonly max?: number }
  | { readonly type: "boolean" }
  | { readonly type: "object"; readonly fields: Readonly<Record<string, Field>> }
  | { readonly type: "array"; readonly items: Field }
);

type Fields = Readonly<Record<string, Field>>;

const string: Field = { type: "string" };
const requiredString: Field = { type: "string", required: true };
const boolean: Field = { type: "boolean" };
const requiredBoolean: Field = { type: "boolean", required: true };
const integer: Field = { type: "integer", min: 0 };
const requiredInteger: Field = { type: "integer", min: 0, required: true };

const tokenBucket: Field = {
  type: "object",
  fields: { size: requiredInteger, refill_time: requiredInteger, one_time_burst: integer },
};
const rateLimiter: Field = { type: "object", fields: { bandwidth: tokenBucket, ops: tokenBucket } };

const networkOverride: Field = {
  type: "object",
  fields: { iface_id: requiredString, host_dev_name: requiredString },
};

export interface Route {
  readonly method: "GET" | "PUT" | "PATCH";
  readonly path: RegExp;
  /** When Firecracker accepts the request: before the guest's start, after it, or always. */
  readonly phase: "before" | "after" | "always";
  readonly body: Fields | null;
  /** The field that has to repeat the last part of the path. */
  readonly idField?: string;
}

export type RouteName = keyof typeof routes;

export const routes = {
  describe: { method: "GET", path: /^\/$/, phase: "always", body: null },
  version: { method: "GET", path: /^\/version$/, phase: "always", body: null },
  machine: {
    method: "PUT",
    path: /^\/machine-config$/,
    phase: "before",
    body: {
      vcpu_count: { type: "integer", min: 0, max: 255, required: true },
      mem_size_mib: requiredInteger,
      smt: boolean,
      cpu_template: { type: "string", values: ["C3", "T2", "T2S", "T2CL", "T2A", "V1N1", "None"] },
      track_dirty_pages: boolean,
      huge_pages: { type: "string", values: ["None", "Transparent", "2M"] },
    },
  },
  boot: {
    method: "PUT",
    path: /^\/boot-source$/,
    phase: "before",
    body: { kernel_image_path: requiredString, initrd_path: string, boot_args: string },
  },
  drive: {
    method: "PUT",
    path: /^\/drives\/([A-Za-z0-9_]+)$/,
    phase: "before",
    idField: "drive_id",
    body: {
      drive_id: requiredString,
      is_root_device: requiredBoolean,
      is_read_only: boolean,
      path_on_host: string,
      partuuid: string,
      cache_type: { type: "string", values: ["Unsafe", "Writeback"] },
      io_engine: { type: "string", values: ["Sync", "Async"] },
      rate_limiter: rateLimiter,
      socket: string,
    },
  },
  newDrive: {
    method: "PATCH",
    path: /^\/drives\/([A-Za-z0-9_]+)$/,
    phase: "after",
    idField: "drive_id",
    body: { drive_id: requiredString, path_on_host: string, rate_limiter: rateLimiter },
  },
  network: {
    method: "PUT",
    path: /^\/network-interfaces\/([A-Za-z0-9_]+)$/,
    phase: "before",
    idField: "iface_id",
    body: {
      iface_id: requiredString,
      host_dev_name: requiredString,
      guest_mac: string,
      mtu: { type: "integer", min: 68, max: 65_535 },
      rx_rate_limiter: rateLimiter,
      tx_rate_limiter: rateLimiter,
    },
  },
  // The description asks for a guest_cid of 3 or more. The program takes any number of 32 bits.
  vsock: {
    method: "PUT",
    path: /^\/vsock$/,
    phase: "before",
    body: {
      guest_cid: { type: "integer", min: 0, max: 2 ** 32 - 1, required: true },
      uds_path: requiredString,
      vsock_id: string,
    },
  },
  entropy: { method: "PUT", path: /^\/entropy$/, phase: "before", body: { rate_limiter: rateLimiter } },
  balloon: {
    method: "PUT",
    path: /^\/balloon$/,
    phase: "before",
    body: {
      amount_mib: requiredInteger,
      deflate_on_oom: requiredBoolean,
      stats_polling_interval_s: integer,
      free_page_hinting: boolean,
      free_page_reporting: boolean,
    },
  },
  action: {
    method: "PUT",
    path: /^\/actions$/,
    phase: "always",
    body: {
      action_type: {
        type: "string",
        values: ["FlushMetrics", "InstanceStart", "SendCtrlAltDel"],
        required: true,
      },
    },
  },
  state: {
    method: "PATCH",
    path: /^\/vm$/,
    phase: "after",
    body: { state: { type: "string", values: ["Paused", "Resumed"], required: true } },
  },
  createSnapshot: {
    method: "PUT",
    path: /^\/snapshot\/create$/,
    phase: "after",
    body: {
      snapshot_path: requiredString,
      mem_file_path: requiredString,
      snapshot_type: { type: "string", values: ["Full", "Diff"] },
    },
  },
  loadSnapshot: {
    method: "PUT",
    path: /^\/snapshot\/load$/,
    phase: "before",
    body: {
      snapshot_path: requiredString,
      mem_file_path: string,
      mem_backend: {
        type: "object",
        fields: {
          backend_type: { type: "string", values: ["File", "Uffd"], required: true },
          backend_path: requiredString,
        },
      },
      resume_vm: boolean,
      track_dirty_pages: boolean,
      enable_diff_snapshots: boolean,
      network_overrides: { type: "array", items: networkOverride },
      vsock_override: { type: "object", fields: { uds_path: requiredString } },
      clock_realtime: boolean,
    },
  },
} as const satisfies Readonly<Record<string, Route>>;
