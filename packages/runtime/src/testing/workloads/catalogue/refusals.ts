import { defaultCapabilities } from "../../../isolation/hardening.ts";
import type { Refusal } from "../workload.ts";

const setuidProgram = `
printf '#include <stdio.h>\\n#include <unistd.h>\\nint main(void) { printf("user %%d\\\\n", geteuid()); return geteuid(); }\\n' > /tmp/whoami.c
gcc -o /usr/local/bin/whoami-really /tmp/whoami.c
chmod 4755 /usr/local/bin/whoami-really
`;

/** Needed because capabilities within a user namespace don't apply to devices or to networks outside that namespace. */
const rootOfTheHost = { userNamespace: false };

/** What is denied by default and allowed by a setting of the administrator. */
export const refusals: readonly Refusal[] = [
  {
    id: "setuid",
    does: "setuid programs that ordinary users run (sudo, su)",
    script: `${setuidProgram}runuser -u builder -- whoami-really`,
    says: /^user 1000$/m,
    relaxation: { noNewPrivileges: false },
  },
  {
    id: "file-capabilities",
    does: "file capabilities of programs that ordinary users run",
    script: `
cp /bin/grep /usr/local/bin/capable && setcap cap_net_bind_service=ep /usr/local/bin/capable
runuser -u builder -- capable CapEff /proc/self/status
runuser -u builder -- capable -q 'CapEff:.0*400$' /proc/self/status
`,
    says: /CapEff:\s0+$/m,
    relaxation: { noNewPrivileges: false },
  },
  {
    id: "raw-sockets",
    does: "raw sockets, which tcpdump and nmap use as root",
    script: "python3 -c 'import socket; socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)'",
    says: /PermissionError/,
    relaxation: { capabilities: [...defaultCapabilities, "NET_RAW"], ...rootOfTheHost },
  },
  {
    id: "tracing",
    does: "strace, gdb and other programs that trace processes",
    script: "strace -f -e trace=execve sh -c '/bin/true; :'",
    says: /ptrace.*Operation not permitted/i,
    relaxation: { seccomp: false },
  },
  {
    id: "nested-namespaces",
    does: "user namespaces in a step, which browsers and bubblewrap create for their sandboxes",
    script: "unshare --user --map-root-user true",
    says: /unshare failed: Operation not permitted/,
    relaxation: { seccomp: false },
  },
  {
    id: "device-files",
    does: "creating device files",
    script: "mknod /tmp/zero c 1 5",
    says: /Operation not permitted/,
    relaxation: { capabilities: [...defaultCapabilities, "MKNOD"], ...rootOfTheHost },
  },
];
