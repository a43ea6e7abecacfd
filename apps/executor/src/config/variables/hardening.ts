import { defaultCapabilities } from "@airlock/runtime";
import { z } from "zod";
import { flag, wholeNumber } from "../values/environment-values.ts";

const capabilityNames: ReadonlySet<string> = new Set(
  (
    "AUDIT_CONTROL AUDIT_READ AUDIT_WRITE BLOCK_SUSPEND BPF CHECKPOINT_RESTORE CHOWN DAC_OVERRIDE DAC_READ_SEARCH " +
    "FOWNER FSETID IPC_LOCK IPC_OWNER KILL LEASE LINUX_IMMUTABLE MAC_ADMIN MAC_OVERRIDE MKNOD NET_ADMIN " +
    "NET_BIND_SERVICE NET_BROADCAST NET_RAW PERFMON SETFCAP SETGID SETPCAP SETUID SYS_ADMIN SYS_BOOT SYS_CHROOT " +
    "SYS_MODULE SYS_NICE SYS_PACCT SYS_PTRACE SYS_RAWIO SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG SYSLOG WAKE_ALARM"
  ).split(" "),
);

/** Isolation of steps. Each default is the strictest one, and only the administrator can relax it. */
export const hardeningVariables = {
  EXECUTOR_SANDBOX_CAPABILITIES: z
    .string()
    .optional()
    .transform((text, context): readonly string[] => {
      if (text === undefined) return defaultCapabilities;
      if (text.trim().toLowerCase() === "none") return [];
      const names = text.split(",").map((name) => name.trim().toUpperCase().replace(/^CAP_/, ""));
      const unknown = names.filter((name) => !capabilityNames.has(name));
      if (unknown.length > 0) {
        context.addIssue({
          code: "custom",
          message: `names unknown capabilities: "${unknown.join(", ")}". Write them as CHOWN,SETUID, or none`,
        });
      }
      return [...new Set(names)];
    })
    .meta({
      description: "Capabilities of root in a sandbox.",
      default: defaultCapabilities.join(","),
      values: "names, separated by commas, e.g. `CHOWN,SETUID`; `none`",
    }),
  EXECUTOR_SANDBOX_NO_NEW_PRIVILEGES: flag(true).meta({
    description: "Whether setuid programs and file capabilities have no effect.",
  }),
  EXECUTOR_SANDBOX_SECCOMP: flag(true).meta({ description: "Whether system calls outside the allow-list fail." }),
  EXECUTOR_SANDBOX_MASKED_PATHS: flag(true).meta({
    description: "Whether files in /proc and /sys that reveal or change the host are hidden.",
  }),
  EXECUTOR_SANDBOX_USER_NAMESPACE: flag(true).meta({
    description: "Whether root in a sandbox of the oci runtime is an unprivileged user of the host.",
  }),
  EXECUTOR_SANDBOX_READ_ONLY_ROOT: flag(false).meta({
    description: "Whether the image's file system is read-only for steps.",
  }),
  EXECUTOR_SANDBOX_IDS: z
    .string()
    .optional()
    .transform((text, context) => {
      if (text === undefined) return undefined;
      const [, base, size] = /^(\d{1,10}):(\d{1,10})$/.exec(text) ?? [];
      const range = { base: Number(base), size: Number(size) };
      if (base === undefined || range.base < 65_536 || range.size < 65_536 || range.base + range.size > 0xfffffffe) {
        context.addIssue({
          code: "custom",
          message: `"${text}" is not an id range: write it as FIRST:COUNT, both 65536 or more, e.g. 300000:6553600`,
        });
      }
      return range;
    })
    .meta({
      description:
        "Host ids for the users in sandboxes of the oci runtime, EXECUTOR_SANDBOX_ID_COUNT for each, and for the users of virtual machines, one for each.",
      default: "2013265920:67108864",
      values: "`FIRST:COUNT`, both 65536 or more",
    }),
  EXECUTOR_SANDBOX_ID_COUNT: wholeNumber(65_536, 65_536, 2 ** 31).meta({
    description: "Number of ids of one sandbox. Its images can have users and groups below it.",
  }),
};
