// The first process of a step. It stays in the guest's user namespace, so that no process of the step can trace it or
// take its descriptors, and reaps what the step leaves behind.
#include "agent.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

int messages_fd = -1;

static void report(uint8_t kind, int32_t value, const char *stage) {
  struct step_message message = {.kind = kind, .value = value};
  snprintf(message.stage, sizeof message.stage, "%s", stage);
  // A packet, so it is written as a whole or not at all.
  if (write(messages_fd, &message, sizeof message) != (ssize_t)sizeof message) _exit(1);
}

void setup_failed(const char *stage) {
  report(STEP_FAILED, errno, stage);
  _exit(1);
}

static void set_limits(const struct step_spec *spec) {
  for (size_t i = 0; i < spec->limit_count; i++) {
    struct rlimit limit = {.rlim_cur = spec->limits[i].soft, .rlim_max = spec->limits[i].hard};
    if (setrlimit(spec->limits[i].resource, &limit) < 0) setup_failed("resource limit");
  }
}

static void start_loopback(void) {
  struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  int socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0 || ioctl(socket_fd, SIOCSIFFLAGS, &request) < 0) setup_failed("loopback");
  close(socket_fd);
}

static void set_filter(const struct step_spec *spec) {
  static struct sock_filter filter[MAX_FILTER];
  if (spec->filter_count == 0) return;
  memcpy(filter, spec->filter, spec->filter_count * sizeof *filter);
  struct sock_fprog program = {.len = (unsigned short)spec->filter_count, .filter = filter};
  if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) setup_failed("seccomp");
}

static void set_user(const struct step_spec *spec) {
  for (int capability = 0; capability < 64; capability++)
    if (!(spec->capabilities >> capability & 1) && prctl(PR_CAPBSET_DROP, capability) < 0 && errno != EINVAL)
      setup_failed("bounding set");
  if (setgroups(spec->group_count, spec->groups) < 0) setup_failed("groups");
  if (setresgid(spec->gid, spec->gid, spec->gid) < 0) setup_failed("group");
  if (setresuid(spec->uid, spec->uid, spec->uid) < 0) setup_failed("user");
  struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
  struct __user_cap_data_struct sets[2] = {{0}};
  for (int i = 0; i < 2 && spec->uid == 0; i++)
    sets[i].permitted = sets[i].effective = (uint32_t)(spec->capabilities >> (32 * i));
  // Bits that the kernel does not know are not in the permitted set.
  struct __user_cap_data_struct held[2];
  if (syscall(SYS_capget, &header, held) < 0) setup_failed("capabilities");
  for (int i = 0; i < 2; i++) sets[i].permitted = sets[i].effective &= held[i].permitted;
  if (syscall(SYS_capset, &header, sets) < 0) setup_failed("capabilities");
}

// Enters the working directory as the step's user, who also owns what is missing. A user who may not is a fault of the
// job, and ends the script as a shell would.
static void enter_directory(const char *path) {
  char part[4097];
  size_t length = strlen(path);
  int error = 0;
  for (size_t i = 1; i <= length; i++) {
    if (i < length && path[i] != '/') continue;
    memcpy(part, path, i);
    part[i] = 0;
    if (mkdir(part, 0755) < 0 && errno != EEXIST && !error) error = errno;
  }
  if (chdir(path) == 0) return;
  dprintf(STDERR_FILENO, "cannot enter the working directory %s: %s\n", path, strerror(error ? error : errno));
  _exit(126);
}

static _Noreturn void become_script(const struct step_spec *spec, int go) {
  char byte;
  if (read(go, &byte, 1) != 1) _exit(1);
  close(go);
  if (spec->hostname && sethostname(spec->hostname, strlen(spec->hostname)) < 0) setup_failed("host name");
  if (setsid() < 0) setup_failed("session");
  // When memory runs out, the kernel should kill the step's processes before the first one, which reports their end.
  if ((errno = write_text("/proc/self/oom_score_adj", "500"))) setup_failed("oom_score_adj");
  bool unprivileged = spec->flags & STEP_NO_NEW_PRIVILEGES;
  if (unprivileged && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) setup_failed("no new privileges");
  // Without this flag only a privileged process may set a filter.
  if (!unprivileged) set_filter(spec);
  set_user(spec);
  umask(022);
  enter_directory(spec->working_directory);
  // The filter need not allow this message.
  report(STEP_STARTS, 0, "");
  if (unprivileged) set_filter(spec);
  execve(spec->argv[0], spec->argv, spec->env);
  report(STEP_NOT_EXECUTED, errno, "execve");
  _exit(1);
}

static void write_map(pid_t pid, const char *name) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
  if ((errno = write_text(path, "0 0 4294967295"))) setup_failed("user namespace");
}

// Creates the process of the script in its namespaces. It waits until a byte is written to `go`.
static pid_t clone_script(const struct step_spec *spec, int *go) {
  int pipe_ends[2];
  if (pipe2(pipe_ends, O_CLOEXEC) < 0) setup_failed("pipe");
  unsigned long flags = SIGCHLD | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;
  if (spec->flags & STEP_USER_NAMESPACE) flags |= CLONE_NEWUSER;
  if (spec->flags & STEP_OWN_NETWORK) flags |= CLONE_NEWNET;
  pid_t pid = (pid_t)syscall(SYS_clone, flags, NULL, NULL, NULL, NULL);
  if (pid < 0) setup_failed("clone");
  if (pid == 0) {
    close(pipe_ends[1]);
    become_script(spec, pipe_ends[0]);
  }
  close(pipe_ends[0]);
  *go = pipe_ends[1];
  return pid;
}

// Listening below port 1024 and ping need no capability, since nothing else is in this network.
static void open_network(void) {
  if ((errno = write_text("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0")) ||
      (errno = write_text("/proc/sys/net/ipv4/ping_group_range", "0 2147483647")))
    setup_failed("network settings");
}

// Assembles the root while the script waits. The kernel moves the waiting process to the new root as well.
static void prepare_script(const struct step_spec *spec, pid_t pid, int go, int id_swap) {
  // A new sysfs shows the network namespace of the process that mounts it, and a new mqueue its IPC namespace.
  int process = (int)syscall(SYS_pidfd_open, pid, 0);
  bool own_network = spec->flags & STEP_OWN_NETWORK;
  if (process < 0 || setns(process, CLONE_NEWIPC | (own_network ? CLONE_NEWNET : 0)) < 0) setup_failed("namespaces");
  close(process);
  if (own_network || !shared_kernel) start_loopback();
  if (own_network) open_network();
  open_services(spec);
  make_root(spec, id_swap);
  // Ids keep their numbers. The namespace confines what capabilities apply to.
  if (spec->flags & STEP_USER_NAMESPACE) write_map(pid, "uid_map"), write_map(pid, "gid_map");
  if (write(go, "g", 1) != 1) setup_failed("pipe");
  close(go);
}

void step_init(const struct step_spec *spec, int messages, struct hand_over owner) {
  messages_fd = 3;
  prctl(PR_SET_DUMPABLE, 0);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, NULL);
  if (dup3(messages, messages_fd, O_CLOEXEC) < 0) _exit(1);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0 || dup3(null, 4, O_CLOEXEC) < 0 || dup2(null, 0) < 0) setup_failed("/dev/null");
  if (owner.id_swap >= 0 && dup3(owner.id_swap, 5, O_CLOEXEC) < 0) setup_failed("user namespace");
  int id_swap = owner.id_swap < 0 ? -1 : 5;
  syscall(SYS_close_range, id_swap < 0 ? 5U : 6U, ~0U, 0U);
  // Its memory does not count as the step's.
  if (owner.reclaim && (errno = reclaim_workspace())) setup_failed("owner of the workspace");
  enter_cgroup();
  set_limits(spec);
  int go;
  pid_t script = clone_script(spec, &go);
  prepare_script(spec, script, go, id_swap);
  // Only processes of the step hold its output from now on.
  dup2(4, 1);
  dup2(4, 2);
  for (;;) {
    int status;
    pid_t pid = waitpid(-1, &status, 0);
    if (pid < 0 && errno == ECHILD) _exit(0);
    if (pid != script) continue;
    if (WIFSIGNALED(status)) report(STEP_KILLED, WTERMSIG(status), "");
    else report(STEP_EXITED, WEXITSTATUS(status), "");
  }
}
