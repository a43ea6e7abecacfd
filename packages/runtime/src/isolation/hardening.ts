/**
 * What isolates a step beyond its namespaces. Both runtimes start from `defaultHardening`. Only an executor's
 * administrator can relax a part of it, by name; jobs can't.
 */
export interface Hardening {
  /**
   * Capabilities of root inside a container, without the `CAP_` prefix. In `oci` they apply only within the container's
   * user namespace.
   */
  readonly capabilities: readonly string[];
  /** Whether setuid programs and file capabilities have no effect. */
  readonly noNewPrivileges: boolean;
  /** Whether system calls outside the allow-list fail. */
  readonly seccomp: boolean;
  /** Whether to hide paths in `/proc` and `/sys` that reveal or change the host. */
  readonly maskedPaths: boolean;
  /** Whether root inside is an unprivileged user on the host. With `docker` this is a setting of the engine. */
  readonly userNamespace: boolean;
  /** Whether the image's file system is read-only. `/tmp`, `/run` and the workspace stay writable. */
  readonly readOnlyRoot: boolean;
}

/**
 * Docker's defaults without NET_RAW, MKNOD and AUDIT_WRITE: enough for a package manager, but nothing that affects the
 * host.
 */
export const defaultCapabilities = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
] as const;

export const defaultHardening: Hardening = {
  capabilities: defaultCapabilities,
  noNewPrivileges: true,
  seccomp: true,
  maskedPaths: true,
  userNamespace: true,
  readOnlyRoot: false,
};

/** Describes how an administrator relaxed {@link defaultHardening}, one sentence each. */
export function relaxations(hardening: Hardening): readonly string[] {
  const added = hardening.capabilities.filter((name) => !defaultHardening.capabilities.includes(name));
  return [
    ...(added.length > 0 ? [`Sandboxes have extra capabilities: ${added.join(", ")}.`] : []),
    ...(hardening.noNewPrivileges
      ? []
      : ["Programs in sandboxes may gain privileges by setuid and file capabilities."]),
    ...(hardening.seccomp ? [] : ["Sandboxes may use any system call."]),
    ...(hardening.maskedPaths ? [] : ["Sandboxes see all of the host's /proc and /sys."]),
    ...(hardening.userNamespace ? [] : ["Sandboxes have no user namespace: root in them is root on the host."]),
  ];
}
