// Bodies of the requests that we send, with the field names of Firecracker's API description (release 1.17).

export interface MachineConfiguration {
  readonly vcpu_count: number;
  readonly mem_size_mib: number;
  readonly smt: boolean;
}

export interface BootSource {
  readonly kernel_image_path: string;
  readonly initrd_path: string;
  readonly boot_args: string;
}

export interface Drive {
  readonly drive_id: string;
  readonly path_on_host: string;
  readonly is_root_device: boolean;
  readonly is_read_only: boolean;
}

export interface NetworkInterface {
  readonly iface_id: string;
  readonly host_dev_name: string;
  readonly guest_mac: string;
  readonly rx_rate_limiter?: RateLimiter;
  readonly tx_rate_limiter?: RateLimiter;
}

export interface RateLimiter {
  /** A bucket of `size` bytes that refills within `refill_time` ms. */
  readonly bandwidth: { readonly size: number; readonly refill_time: number };
}

export interface Vsock {
  readonly guest_cid: number;
  readonly uds_path: string;
}

export interface Balloon {
  readonly amount_mib: number;
  readonly deflate_on_oom: boolean;
  readonly free_page_reporting: boolean;
}

export interface SnapshotFiles {
  readonly snapshot_path: string;
  readonly mem_file_path: string;
}

export interface SnapshotLoad {
  readonly snapshot_path: string;
  readonly mem_backend: { readonly backend_type: "File"; readonly backend_path: string };
  readonly resume_vm: boolean;
  readonly network_overrides: readonly { readonly iface_id: string; readonly host_dev_name: string }[];
  readonly vsock_override: { readonly uds_path: string };
}
