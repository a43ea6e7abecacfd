import { type Attack, notInGuests, type Weakened, weakenedOn } from "../attack.ts";
import { forbiddenCall } from "../scripts.ts";

const withoutSeccomp: Weakened = { hardening: { seccomp: false } };

/** What could open a way to the host's side of a virtual machine. */
const neverInGuests = notInGuests(withoutSeccomp, "no setting lets a step in a guest reach AF_VSOCK");

/** For calls for which the kernel also demands a capability: only the host's root can try them. */
const withoutSeccompAnd = (...capabilities: readonly string[]): Weakened => ({
  hardening: { seccomp: false, capabilities, userNamespace: false },
});

/** A kernel that was built without the call gives the same answer. */
const mayBeMissing: Weakened = { cannotBeShown: "a kernel that was built without this call fails in the same way" };

/** System calls that lead out of a container or into rarely tested parts of the kernel. Numbers of x86-64. */
const calls: readonly (readonly [id: string, does: string, perl: string, weakened: Attack["weakened"]])[] = [
  [
    "keyring-add",
    "adds a key to the kernel's keyring, which all containers share",
    `my ($type, $name, $key) = ("user", "airlock", "x"); syscall(248, $type, $name, $key, 1, -2)`,
    withoutSeccomp,
  ],
  [
    "keyring-request",
    "requests a key from the kernel's keyring",
    `my ($type, $name, $info) = ("user", "airlock", ""); syscall(249, $type, $name, $info, -2)`,
    withoutSeccomp,
  ],
  ["keyring-control", "joins a session keyring", `syscall(250, 1, 0)`, withoutSeccomp],
  ["io-uring", "sets up an io_uring", `my $params = "\\0" x 120; syscall(425, 4, $params)`, neverInGuests],
  [
    "asynchronous-contexts",
    "allocates an asynchronous I/O context, whose number is limited for the whole host",
    `my $context = "\\0" x 8; syscall(206, 1, $context)`,
    withoutSeccomp,
  ],
  ["userfaultfd", "pauses the kernel at chosen page faults with userfaultfd", `syscall(323, 1)`, withoutSeccomp],
  [
    "bpf",
    "loads a program into the kernel with bpf",
    `my $attributes = "\\0" x 128; syscall(321, 0, $attributes, 128)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "perf-events",
    "observes the whole host with perf_event_open",
    `my $attributes = pack("LLQ", 1, 112, 0) . "\\0" x 96; syscall(298, $attributes, -1, 0, -1, 0)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "user-namespace",
    "creates a user namespace, to get every capability in it",
    `syscall(272, 0x10000000)`,
    withoutSeccomp,
  ],
  ["mount-namespace", "creates a mount namespace", `syscall(272, 0x00020000)`, withoutSeccompAnd("SYS_ADMIN")],
  [
    "clone-user-namespace",
    "creates a user namespace with clone instead of unshare",
    `my $pid = syscall(56, 0x10000000 | 17, 0, 0, 0, 0); if ($pid == 0) { syscall(231, 0); } $pid`,
    withoutSeccomp,
  ],
  [
    "join-namespace",
    "joins another namespace with setns",
    `open(my $namespace, "<", "/proc/self/ns/uts") or die; syscall(308, fileno($namespace), 0)`,
    withoutSeccompAnd("SYS_ADMIN", "SYS_CHROOT"),
  ],
  [
    "mount",
    "mounts a file system",
    `my ($source, $target, $type) = ("none", "/tmp", "tmpfs"); syscall(165, $source, $target, $type, 0, 0)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "unmount",
    "unmounts the masks over parts of /proc",
    `my $target = "/proc/kcore"; syscall(166, $target, 2)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "new-mount-api",
    "opens a file system with the newer mount system calls",
    `my $type = "tmpfs"; syscall(430, $type, 0)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "open-tree",
    "clones a mount with open_tree",
    `my $path = "/data"; syscall(428, -100, $path, 1)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "pivot-root",
    "changes the root of its mount namespace with pivot_root",
    `my ($new, $old) = ("/tmp", "/tmp"); syscall(155, $new, $old)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "file-handle",
    "opens a file of the host by its file handle",
    `my $handle = pack("Ll", 8, 1) . "\\2\\0\\0\\0\\0\\0\\0\\0"; syscall(304, 3, $handle, 0)`,
    withoutSeccompAnd("DAC_READ_SEARCH"),
  ],
  [
    "load-module",
    "loads a kernel module",
    `my $image = "x"; my $options = ""; syscall(175, $image, 1, $options)`,
    mayBeMissing,
  ],
  ["load-kernel", "loads another kernel", `syscall(246, 0, 0, 0, 0xffff)`, mayBeMissing],
  ["reboot", "reboots the host", `syscall(169, 0, 0, 0, 0)`, withoutSeccompAnd("SYS_BOOT")],
  [
    "set-clock",
    "sets the host's clock",
    `my $time = pack("qq", -1, -1); syscall(227, 0, $time)`,
    withoutSeccompAnd("SYS_TIME"),
  ],
  ["swap", "turns the host's swap off", `my $path = "/nowhere"; syscall(168, $path)`, withoutSeccompAnd("SYS_ADMIN")],
  [
    "accounting",
    "turns the host's process accounting on",
    `my $path = "/nowhere"; syscall(163, $path)`,
    withoutSeccompAnd("SYS_PACCT"),
  ],
  [
    "quota",
    "changes the host's disk quotas",
    `my $device = "/nowhere"; syscall(179, 0x80000700, $device, 0, 0)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "kernel-log",
    "reads the kernel's log",
    `my $text = "\\0" x 4096; syscall(103, 3, $text, 4096)`,
    withoutSeccompAnd("SYSLOG", "SYS_ADMIN"),
  ],
  ["ports", "requests access to the host's I/O ports", `syscall(173, 0x80, 1, 1)`, mayBeMissing],
  [
    "vsock",
    "opens a socket to the host's hypervisor or its virtual machines",
    `my $socket; socket($socket, 40, 1, 0) ? 1 : undef`,
    neverInGuests,
  ],
  [
    "packet-socket",
    "reads and forges packets with a raw socket",
    `my $socket; socket($socket, 17, 3, 0) ? 1 : undef`,
    { hardening: { capabilities: ["NET_RAW"] } },
  ],
  [
    "raw-ip-socket",
    "sends forged IP packets",
    `my $socket; socket($socket, 2, 3, 255) ? 1 : undef`,
    { hardening: { capabilities: ["NET_RAW"] } },
  ],
  [
    "clone3-user-namespace",
    "creates a user namespace with clone3, whose flags a seccomp filter can't read",
    `my $arguments = pack("Q8", 0x10000000, 0, 0, 0, 17, 0, 0, 0); my $pid = syscall(435, $arguments, 64); if ($pid == 0) { syscall(231, 0); } $pid`,
    withoutSeccomp,
  ],
  [
    "kernel-cryptography",
    "uses the kernel's cryptographic code",
    `my $socket; socket($socket, 38, 5, 0) ? 1 : undef`,
    mayBeMissing,
  ],
  [
    "watch-file-system",
    "watches a whole file system with fanotify",
    `syscall(300, 0x4, 0)`,
    withoutSeccompAnd("SYS_ADMIN"),
  ],
  [
    "device-node",
    "creates a device node for the host's disk",
    `my $path = "/tmp/disk"; syscall(133, $path, 0060600, 0xfe00)`,
    { hardening: { capabilities: ["MKNOD"], userNamespace: false } },
  ],
];

export const kernelAttacks: readonly Attack[] = calls.map(([id, does, perl, weakened]) => ({
  id,
  does,
  defence: defenceOf(weakenedOn({ id, weakened }, "oci")),
  script: forbiddenCall(perl),
  weakened,
}));

function defenceOf(weakened: Weakened): string {
  if ("cannotBeShown" in weakened) return "system call filter; the capability is missing";
  const { seccomp = true, capabilities = [] } = weakened.hardening ?? {};
  const parts = [
    ...(seccomp ? [] : ["system call filter"]),
    ...(capabilities.length > 0 ? [`no capability ${capabilities.join(" or ")}`] : []),
  ];
  return parts.join("; ");
}
